package tcpcopy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mosn.io/api"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// portraitFactory makes the stream filters that upload request headers as
// portraits, so that the portrait log works by configuration alone:
//
//	{"type": "tcpcopy_portrait", "config": {"business_type": "RPC", "exclude_headers": ["authorization"]}}
type portraitFactory struct {
	recorder *recorder
	business model.BusinessType
	exclude  map[string]bool // lower-case names
}

// privateHeaders are left out of portraits when the configuration names none:
// what authenticates a caller.
var privateHeaders = [...]string{
	"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "apikey",
	"x-auth-token", "x-access-token", "x-csrf-token", "x-amz-security-token", "x-forwarded-client-cert",
}

func newPortraitFactory(r *recorder, config map[string]any) (api.StreamFilterChainFactory, error) {
	var errs []error
	b, err := blockOf(config, &errs)
	if err != nil {
		return nil, fmt.Errorf("tcpcopy_portrait: %w", err)
	}
	f := &portraitFactory{recorder: r, business: model.RPC, exclude: map[string]bool{}}
	var name string
	if b.value("business_type", &name, "a name such as RPC, CONFIGURATION, STATE") {
		f.business = model.BusinessType(name)
		if err := f.business.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	exclude := slices.Clone(privateHeaders[:]) // decoding writes into what it is given
	b.value("exclude_headers", &exclude, `a list of header names such as ["authorization", "cookie"]`)
	for _, name := range exclude {
		f.exclude[strings.ToLower(name)] = true
	}
	b.unknown()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("tcpcopy_portrait: %w", err)
	}
	r.hand()
	return f, nil
}

// CreateFilterChain adds the filter to a stream, for two phases. MOSN's proxy runs the
// first of them before it looks for a route, so that requests without one have a portrait
// too. MOSN's gRPC server (pkg/filter/network/grpc/factory.go) runs the second alone.
func (f *portraitFactory) CreateFilterChain(_ context.Context, callbacks api.StreamFilterChainFactoryCallbacks) {
	filter := &portraitFilter{portraitFactory: f}
	callbacks.AddStreamReceiverFilter(filter, api.BeforeRoute)
	callbacks.AddStreamReceiverFilter(filter, api.AfterRoute)
}

// portraitFilter is the filter of one stream. MOSN calls it from one goroutine at a time.
type portraitFilter struct {
	*portraitFactory
	ran bool // OnReceive has had the request
}

var _ api.StreamReceiverFilter = (*portraitFilter)(nil)

// OnReceive uploads the request's headers, in the first phase that the stream has.
// Outside a window it costs one load.
func (f *portraitFilter) OnReceive(ctx context.Context, headers api.HeaderMap, _ api.IoBuffer, _ api.HeaderMap) api.StreamFilterStatus {
	if f.ran {
		return api.StreamFilterContinue
	}
	f.ran = true
	if f.recorder.controller.Open() != nil && headers != nil {
		f.recorder.uploadPortrait(f.business, visibleHeaders{headers, f.exclude}, ctx)
	}
	return api.StreamFilterContinue
}

// SetReceiveFilterHandler does nothing: the filter needs nothing of its stream.
func (f *portraitFilter) SetReceiveFilterHandler(api.StreamReceiverFilterHandler) {}

// OnDestroy does nothing.
func (f *portraitFilter) OnDestroy() {}

// visibleHeaders are the headers but for some.
type visibleHeaders struct {
	api.HeaderMap
	exclude map[string]bool
}

// Range calls fn for each header that is not left out, until it returns false.
func (h visibleHeaders) Range(fn func(key, value string) bool) {
	h.HeaderMap.Range(func(key, value string) bool {
		return h.exclude[strings.ToLower(key)] || fn(key, value)
	})
}
