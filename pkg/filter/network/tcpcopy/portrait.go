package tcpcopy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"mosn.io/api"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// uploadPortrait records what an application reports about a piece of business, at
// most once per business type and window. It returns whether it has. ctx may be nil.
func (r *recorder) uploadPortrait(business model.BusinessType, data any, ctx context.Context) (accepted bool) {
	defer r.recoverPanic("UploadPortraitData")
	r.hand()
	w := r.controller.Open()
	if w == nil {
		return false
	}
	port := ""
	if ctx != nil {
		if port = contextPort(ctx); port == "" {
			port = r.clients.port(ctx)
		}
	}
	accepted, err := sessionOf(w).Portrait(business, port, func() ([]byte, error) { return portraitJSON(data) })
	if err != nil {
		r.refusePortrait(w, business, err)
	}
	return accepted
}

// hand says that records come without a listener, so that a window makes sense without
// one.
func (r *recorder) hand() {
	if !r.handed.Load() {
		r.handed.Store(true)
	}
}

// refusePortrait logs that a portrait is refused, once per window: an application that
// makes a mistake makes it at each request.
func (r *recorder) refusePortrait(w *strategy.Window, business model.BusinessType, err error) {
	if r.warned.Swap(w) != w {
		r.host.log.Warnf("portrait of %s is not taken, and others may not be in this window: %v", business, err)
	}
}

// portraitJSON renders a portrait as JSON on one line: a header map as an object
// of its headers, anything else as encoding/json does.
func portraitJSON(data any) ([]byte, error) {
	if headers, ok := data.(api.HeaderMap); ok {
		object := map[string]string{}
		headers.Range(func(key, value string) bool {
			object[key] = value
			return true
		})
		data = object
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(data); err != nil {
		return nil, fmt.Errorf("marshal %T: %w", data, err)
	}
	// A json.RawMessage or a Marshaler may bring line breaks of its own, which
	// Encode has removed all but its last.
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}
