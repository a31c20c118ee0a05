package tcpcopy

import (
	"net"
	"testing"
	"time"

	"mosn.io/api"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/pkg/buffer"

	"mosn.io/tcpcopy/internal/oracle"
)

// object is a JSON object of a configuration.
type object = map[string]any

// harness is a recorder without MOSN that records a listener's traffic to a
// directory of its own.
type harness struct {
	t        *testing.T
	recorder *recorder
	factory  api.NetworkFilterChainFactory
	dir      string
	ids      uint64 // connections so far
}

// newHarness starts a recorder and binds the listener "test" with that configuration,
// whose output has its place in a directory of the test's.
func newHarness(t *testing.T, config object) *harness {
	t.Helper()
	h := &harness{t: t, dir: t.TempDir(), recorder: newRecorder("aaaaaa", testHost(t))}
	t.Cleanup(func() { h.recorder.close(false) })
	h.factory = h.bind("test", h.into(config))
	return h
}

// into returns config with the harness's directory and hex_meta where it names none.
func (h *harness) into(config object) object {
	whole := object{}
	for name, block := range config {
		whole[name] = block
	}
	output := object{"dir": h.dir, "formats": []string{"hex_meta"}, "min_free": "0"}
	if given, ok := config["output"].(object); ok {
		for name, value := range given {
			output[name] = value
		}
	}
	whole["output"] = output
	return whole
}

// tryBind is bind for configurations that may be refused.
func (h *harness) tryBind(name string, config object) (api.NetworkFilterChainFactory, error) {
	f, err := newFactory(h.recorder, config)
	if err != nil {
		return nil, err
	}
	ln := &v2.Listener{Addr: &net.TCPAddr{IP: net.IPv4zero, Port: 2045}}
	ln.Name = name
	return f, f.(api.FactoryInitializer).Init(ln)
}

// bind makes a listener's factory as MOSN does.
func (h *harness) bind(name string, config object) api.NetworkFilterChainFactory {
	h.t.Helper()
	f, err := h.tryBind(name, config)
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

// window opens a window, lets f talk, closes it, and returns its index line.
func (h *harness) window(f func()) oracle.Window {
	h.t.Helper()
	opened, err := h.recorder.controller.OpenManual(time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	f()
	if _, err := h.recorder.controller.CloseWindow(); err != nil {
		h.t.Fatal(err)
	}
	w, err := oracle.FindWindow(h.dir, opened.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return w
}

// connections returns what the log has, which must be exact.
func (h *harness) connections() []*oracle.Connection {
	h.t.Helper()
	lines, err := oracle.ReadMeta(h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	all, err := oracle.Connections(lines)
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// connect makes a connection to the listener of the factory and its filters.
func (h *harness) connect(f api.NetworkFilterChainFactory) *fakeConn {
	h.ids++
	c := &fakeConn{
		id:     h.ids,
		buf:    buffer.NewIoBuffer(64),
		local:  &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 2045},
		remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000},
	}
	c.join(f)
	return c
}
