package tcpcopy

import (
	"context"
	"net"

	"mosn.io/api"
	"mosn.io/mosn/pkg/types"
	"mosn.io/pkg/buffer"
	"mosn.io/pkg/variable"
)

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
