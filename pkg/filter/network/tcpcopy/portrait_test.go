package tcpcopy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/peer"

	"mosn.io/api"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/protocol"
	"mosn.io/mosn/pkg/types"
	"mosn.io/pkg/variable"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// portraits returns the lines of the portrait log without time and window.
func (h *harness) portraits() (lines []string) {
	h.t.Helper()
	log, err := os.ReadFile(filepath.Join(h.dir, layout.PortraitLog))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		h.t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(log), "\n"), "\n") {
		_, rest, _ := strings.Cut(line, " [INFO] [")
		_, rest, ok := strings.Cut(rest, "]")
		if !ok {
			h.t.Errorf("line %q", line)
		}
		lines = append(lines, rest)
	}
	return lines
}

// streamContext is MOSN's context of a stream.
func streamContext(port int) context.Context {
	ctx := variable.NewVariableContext(context.Background())
	_ = variable.Set(ctx, types.VariableListenerPort, port)
	return ctx
}

// unixContext is MOSN's context of a stream that came over a Unix socket.
func unixContext(path string) context.Context {
	ctx := streamContext(0)
	_ = variable.Set(ctx, types.VariableConnection, api.Connection(&fakeConn{local: &net.UnixAddr{Name: path, Net: "unix"}}))
	return ctx
}

type panickingMarshaler struct{}

func (panickingMarshaler) MarshalJSON() ([]byte, error) { panic("no JSON") }

type brokenHeaders struct{ api.HeaderMap }

func TestPortraitsAreRendered(t *testing.T) {
	for name, c := range map[string]struct {
		data any
		ctx  context.Context
		want string // "" when it is refused
	}{
		"a header map":   {protocol.CommonHeader{"a": "1", "b": "<2>"}, streamContext(2045), `[RPC][2045]{"a":"1","b":"<2>"}`},
		"a struct":       {struct{ N int }{7}, streamContext(2045), `[RPC][2045]{"N":7}`},
		"text":           {"one\ntwo", streamContext(2045), `[RPC][2045]"one\ntwo"`},
		"nothing":        {nil, streamContext(2045), `[RPC][2045]null`},
		"no context":     {1, nil, `[RPC][]1`},
		"a bare context": {1, context.Background(), `[RPC][]1`},
		"a Unix socket":  {1, unixContext("/run/a.sock"), `[RPC][/run/a.sock]1`},
		"no port":        {1, streamContext(0), `[RPC][]1`},
		"raw lines":      {json.RawMessage("{\n \"a\":\r\n 1}\n"), nil, `[RPC][]{"a":1}`},
		"raw nonsense":   {json.RawMessage("{"), nil, ""},
		"no JSON":        {func() {}, nil, ""},
		"a panic":        {panickingMarshaler{}, nil, ""},
		"a typed nil":    {(*protocol.CommonHeader)(nil), nil, ""},
		"broken headers": {brokenHeaders{}, nil, ""},
	} {
		h := newHarness(t, object{})
		h.window(func() {
			accepted := h.recorder.uploadPortrait(model.RPC, c.data, c.ctx)
			if accepted != (c.want != "") {
				t.Errorf("%s: accepted is %v", name, accepted)
			}
			// What could not be rendered has not accepted the place.
			if again := h.recorder.uploadPortrait(model.RPC, "again", nil); again == accepted {
				t.Errorf("%s: a second one is accepted: %v", name, again)
			}
		})
		want := c.want
		if want == "" {
			want = `[RPC][]"again"`
		}
		if got := h.portraits(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		h.recorder.close(false)
	}
}

func TestPortraitsAreRefusedOutsideAWindow(t *testing.T) {
	h := newHarness(t, object{})
	if h.recorder.uploadPortrait(model.RPC, 1, nil) {
		t.Error("accepted before a window")
	}
	h.window(func() {})
	if h.recorder.uploadPortrait(model.RPC, 1, nil) || h.portraits() != nil {
		t.Error("accepted after a window")
	}
	h.window(func() {
		if h.recorder.uploadPortrait("a b", 1, nil) {
			t.Error("a bad type is accepted")
		}
	})
}

// streamFilters collects what a factory adds to a stream.
type streamFilters struct {
	api.StreamFilterChainFactoryCallbacks
	filters []api.StreamReceiverFilter
	phases  []api.ReceiverFilterPhase
}

func (s *streamFilters) AddStreamReceiverFilter(f api.StreamReceiverFilter, p api.ReceiverFilterPhase) {
	s.filters, s.phases = append(s.filters, f), append(s.phases, p)
}

// MOSN's proxy runs both phases of a request, its gRPC server the second alone.
func TestARequestHasOnePortraitWhateverPhasesItHas(t *testing.T) {
	h := newHarness(t, object{})
	f, err := newPortraitFactory(h.recorder, nil)
	if err != nil {
		t.Fatal(err)
	}
	both, second := &streamFilters{}, &streamFilters{}
	f.CreateFilterChain(context.Background(), both)
	f.CreateFilterChain(context.Background(), second)
	if !slices.Equal(both.phases, []api.ReceiverFilterPhase{api.BeforeRoute, api.AfterRoute}) {
		t.Fatalf("phases %v", both.phases)
	}
	receive := func(s *streamFilters, phase int, value string) {
		s.filters[phase].OnReceive(streamContext(80), protocol.CommonHeader{"a": value}, nil, nil)
	}
	receive(both, 0, "no window is open")
	h.window(func() { receive(both, 1, "the request has had its turn") })
	h.window(func() { receive(second, 1, "gRPC") })
	if got, want := h.portraits(), []string{`[RPC][80]{"a":"gRPC"}`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A gRPC handler has no variables of MOSN in its context, but the address of its client.
func TestAGRPCHandlerUploadsWithItsListenersPort(t *testing.T) {
	h := newHarness(t, object{})
	f, err := newFactory(h.recorder, h.into(object{}))
	if err != nil {
		t.Fatal(err)
	}
	ln := &v2.Listener{Addr: &net.TCPAddr{Port: 34904}}
	ln.Name = "api"
	ln.FilterChains = []v2.FilterChain{{FilterChainConfig: v2.FilterChainConfig{Filters: []v2.Filter{{Type: filterType}, {Type: v2.GRPC_NETWORK_FILTER}}}}}
	if err := f.(*factory).Init(ln); err != nil {
		t.Fatal(err)
	}
	c := h.connect(f)
	ctx := peer.NewContext(context.Background(), &peer.Peer{Addr: c.remote})
	h.window(func() { h.recorder.uploadPortrait("OPEN", 1, ctx) })
	c.end(api.RemoteClose)
	h.window(func() { h.recorder.uploadPortrait("CLOSED", 1, ctx) })
	if got, want := h.portraits(), []string{"[OPEN][34904]1", "[CLOSED][]1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// upload sends a stream's headers through the filter of that configuration.
func (h *harness) upload(config object, headers map[string]string) {
	h.t.Helper()
	f, err := newPortraitFactory(h.recorder, config)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &streamFilters{}
	f.CreateFilterChain(context.Background(), s)
	for _, filter := range s.filters {
		filter.SetReceiveFilterHandler(nil)
		if status := filter.OnReceive(streamContext(80), protocol.CommonHeader(headers), nil, nil); status != api.StreamFilterContinue {
			h.t.Errorf("status %v", status)
		}
		if status := filter.OnReceive(context.Background(), nil, nil, nil); status != api.StreamFilterContinue {
			h.t.Errorf("status %v", status)
		}
		filter.OnDestroy()
	}
}

// What authenticates a caller stays out of portraits, unless the configuration
// names other headers; and that of one listener changes nothing for others.
func TestPrivateHeadersAreLeftOutOfPortraits(t *testing.T) {
	h := newHarness(t, object{})
	headers := map[string]string{"Accept": "*/*", "x": "1"}
	for _, name := range privateHeaders {
		headers[name] = "secret"
	}
	headers["Authorization"], headers["COOKIE"] = "secret", "secret"
	delete(headers, "authorization")
	delete(headers, "cookie")
	before := slices.Clone(privateHeaders[:])
	h.window(func() {
		h.upload(object{"exclude_headers": []string{"X"}, "business_type": "STATE"}, map[string]string{"a": "1", "x": "1"})
		h.upload(nil, headers)
		h.upload(object{"exclude_headers": []string{}, "business_type": "MINE"}, map[string]string{"cookie": "shown"})
	})
	got := h.portraits()
	want := []string{`[STATE][80]{"a":"1"}`, `[RPC][80]{"Accept":"*/*","x":"1"}`, `[MINE][80]{"cookie":"shown"}`}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !slices.Equal(before, privateHeaders[:]) {
		t.Errorf("a configuration has changed the default to %q", privateHeaders)
	}
}

func TestBadPortraitFiltersAreRefused(t *testing.T) {
	for config, words := range map[string][]string{
		`{"business_type": "a b"}`:                  {"business_type", `"a b"`},
		`{"business_type": 1}`:                      {"business_type"},
		`{"exclude_headers": "cookie"}`:             {"exclude_headers", "list"},
		`{"exclude_headers": null}`:                 {"exclude_headers"},
		`{"headers": []}`:                           {"headers", "no field of that name"},
		`{"headers": [], "business_type": "[RPC]"}`: {"headers", "business_type"},
	} {
		_, err := newPortraitFactory(nil, configOf(t, config))
		for _, word := range append(words, "tcpcopy_portrait") {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v does not name %s", config, err, word)
			}
		}
	}
}

// Names of headers are a portrait's alone: they reach no format.
func TestOddHeaderNamesAreEscapedInPortraits(t *testing.T) {
	h := newHarness(t, object{})
	h.window(func() {
		h.upload(object{}, map[string]string{"a\nb": "c\nd", "%s": "%d"})
	})
	got := h.portraits()
	var decoded map[string]string
	if len(got) != 1 || json.Unmarshal([]byte(strings.TrimPrefix(got[0], "[RPC][80]")), &decoded) != nil || decoded["a\nb"] != "c\nd" {
		t.Errorf("%q", fmt.Sprint(got))
	}
}
