package tcpcopy

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"mosn.io/api"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/types"
	"mosn.io/pkg/buffer"
	"mosn.io/pkg/variable"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// object is a JSON object of a configuration.
type object = map[string]any

// rig is a recorder without MOSN that records a listener's traffic to a
// directory of its own.
type rig struct {
	t        *testing.T
	recorder *recorder
	factory  api.NetworkFilterChainFactory
	dir      string
	ids      uint64 // connections so far
}

// newRig starts a recorder and binds the listener "test" with that configuration,
// whose output has its place in a directory of the test's.
func newRig(t *testing.T, config object) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), recorder: newRecorder("aaaaaa", testHost(t))}
	t.Cleanup(func() { r.recorder.close(false) })
	r.factory = r.bind("test", r.into(config))
	return r
}

// into returns config with the rig's directory and hex_meta where it names none.
func (r *rig) into(config object) object {
	whole := object{}
	for name, block := range config {
		whole[name] = block
	}
	output := object{"dir": r.dir, "formats": []string{"hex_meta"}, "min_free": "0"}
	if given, ok := config["output"].(object); ok {
		for name, value := range given {
			output[name] = value
		}
	}
	whole["output"] = output
	return whole
}

// tryBind is bind for configurations that may be refused.
func (r *rig) tryBind(name string, config object) (api.NetworkFilterChainFactory, error) {
	f, err := newFactory(r.recorder, config)
	if err != nil {
		return nil, err
	}
	ln := &v2.Listener{Addr: &net.TCPAddr{IP: net.IPv4zero, Port: 2045}}
	ln.Name = name
	return f, f.(api.FactoryInitializer).Init(ln)
}

// bind makes a listener's factory as MOSN does.
func (r *rig) bind(name string, config object) api.NetworkFilterChainFactory {
	r.t.Helper()
	f, err := r.tryBind(name, config)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// window opens a window, lets f talk, closes it, and returns its index line.
func (r *rig) window(f func()) oracle.Window {
	r.t.Helper()
	opened, err := r.recorder.controller.OpenManual(time.Hour)
	if err != nil {
		r.t.Fatal(err)
	}
	f()
	if _, err := r.recorder.controller.CloseWindow(); err != nil {
		r.t.Fatal(err)
	}
	w, err := oracle.FindWindow(r.dir, opened.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

// conversations returns what the log has, which must be exact.
func (r *rig) conversations() []*oracle.Conversation {
	r.t.Helper()
	lines, err := oracle.ReadMeta(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	all, err := oracle.Conversations(lines)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// connect makes a connection to the listener of the factory and its filters.
func (r *rig) connect(f api.NetworkFilterChainFactory) *fakeConn {
	r.ids++
	c := &fakeConn{
		id:     r.ids,
		buf:    buffer.NewIoBuffer(64),
		local:  &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 2045},
		remote: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000},
	}
	c.join(f)
	return c
}

// otherMethods are those of a connection that a filter must not need.
type otherMethods = api.Connection

// fakeConn is a connection as MOSN (pkg/network/connection.go) shows it to filters.
type fakeConn struct {
	otherMethods
	id            uint64
	buf           buffer.IoBuffer
	local, remote net.Addr
	read, sent    []func(uint64)
	events        []api.ConnectionEventListener
	readers       []api.ReadFilter
	writers       []api.WriteFilter
	early         func(buffer.IoBuffer) // a filter before the recorder's
	after         func(buffer.IoBuffer) // a filter behind it; nil takes all bytes
}

func (c *fakeConn) join(f api.NetworkFilterChainFactory) {
	ctx := variable.NewVariableContext(context.Background())
	_ = variable.Set(ctx, types.VariableConnection, api.Connection(c))
	_ = variable.Set(ctx, types.VariableListenerName, "test")
	_ = variable.Set(ctx, types.VariableListenerPort, 2045)
	f.CreateFilterChain(ctx, c)
}

func (c *fakeConn) ID() uint64                          { return c.id }
func (c *fakeConn) LocalAddr() net.Addr                 { return c.local }
func (c *fakeConn) RemoteAddr() net.Addr                { return c.remote }
func (c *fakeConn) GetReadBuffer() buffer.IoBuffer      { return c.buf }
func (c *fakeConn) AddBytesReadListener(f func(uint64)) { c.read = append(c.read, f) }
func (c *fakeConn) AddBytesSentListener(f func(uint64)) { c.sent = append(c.sent, f) }
func (c *fakeConn) AddWriteFilter(f api.WriteFilter)    { c.writers = append(c.writers, f) }
func (c *fakeConn) Connection() api.Connection          { return c }
func (c *fakeConn) ContinueReading()                    {}
func (c *fakeConn) UpstreamHost() api.HostInfo          { return nil }
func (c *fakeConn) SetUpstreamHost(api.HostInfo)        {}
func (c *fakeConn) AddConnectionEventListener(l api.ConnectionEventListener) {
	c.events = append(c.events, l)
}

func (c *fakeConn) AddReadFilter(f api.ReadFilter) {
	f.InitializeReadFilterCallbacks(c)
	c.readers = append(c.readers, f)
}

var (
	_ api.NetWorkFilterChainFactoryCallbacks = (*fakeConn)(nil)
	_ api.ReadFilterCallbacks                = (*fakeConn)(nil)
)

// receive has text arrive, as doRead does, and go through the filters.
func (c *fakeConn) receive(text string) {
	_, _ = c.buf.Write([]byte(text))
	for _, f := range c.read {
		f(uint64(len(text)))
	}
	c.show()
}

// show hands the buffer to the filters.
func (c *fakeConn) show() {
	if c.early != nil {
		c.early(c.buf)
	}
	for _, f := range c.readers {
		if c.buf.Len() == 0 {
			return
		}
		if f.OnData(c.buf) != api.Continue {
			panic("OnData must go on")
		}
	}
	if c.after != nil {
		c.after(c.buf)
	} else {
		c.buf.Drain(c.buf.Len())
	}
}

// send has the proxy write text in one or more buffers, as Write does.
func (c *fakeConn) send(texts ...string) {
	n := c.offer(texts...)
	for _, f := range c.sent {
		f(uint64(n))
	}
}

// offer is send for bytes that the client does not take yet.
func (c *fakeConn) offer(texts ...string) (n int) {
	var bufs []buffer.IoBuffer
	for _, text := range texts {
		bufs = append(bufs, buffer.NewIoBufferString(text))
		n += len(text)
	}
	for _, f := range c.writers {
		if f.OnWrite(bufs) != api.Continue {
			panic("OnWrite must go on")
		}
	}
	return n
}

// end closes the connection.
func (c *fakeConn) end(e api.ConnectionEvent) {
	for _, l := range c.events {
		l.OnEvent(e)
	}
}

// brokenMeter says that it cannot read.
type brokenMeter struct{}

func (brokenMeter) Read(context.Context) (strategy.Reading, error) {
	return strategy.Reading{}, errors.New("out of order")
}

// silentLog is for tests that log without end.
type silentLog struct{}

func (silentLog) Infof(string, ...any)          {}
func (silentLog) Warnf(string, ...any)          {}
func (silentLog) Alertf(string, string, ...any) {}
