package tcpcopy

import (
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"

	"mosn.io/api"
	"mosn.io/pkg/buffer"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// filter records one connection. MOSN (pkg/network/connection.go) calls OnData and the
// listener for read bytes from the connection's read loop, OnWrite and the listener for
// sent bytes from whichever goroutine writes, and OnEvent from any.
type filter struct {
	recorder *recorder
	gate     *strategy.Controller // the recorder's; here it saves the hot path a load
	listener *boundListener
	grpc     bool // the recorder's clients have the connection until it is closed
	conn     api.Connection
	self     persistence.Conn
	window   string // ID of the window in which the connection was created; "" outside of windows

	read    atomic.Uint64 // bytes that the connection has read
	offered uint64        // of those, bytes that OnData has had; only the read loop uses it
	sent    atomic.Uint64 // bytes that the connection has sent
	written atomic.Uint64 // offset of the end of the last write in a window
	closed  atomic.Bool   // OnEvent has had the close event
}

var (
	_ api.ReadFilter              = (*filter)(nil)
	_ api.WriteFilter             = (*filter)(nil)
	_ api.ConnectionEventListener = (*filter)(nil)
)

// InitializeReadFilterCallbacks is called once, when the filter is added to its
// connection's chain.
func (f *filter) InitializeReadFilterCallbacks(cb api.ReadFilterCallbacks) {
	f.conn = cb.Connection()
	if f.grpc {
		f.recorder.clients.add(f.conn.RemoteAddr(), f.listener.port)
	}
	f.self.ID = f.conn.ID()
	f.self.Limit = f.listener.scope.limit
	f.self.Describe = f.describe
	f.self.Sent = f.sent.Load
	f.self.Datagrams = networkOf(f.conn) == "udp"
	if w := f.gate.Open(); w != nil {
		f.window = w.ID
	}
	// A connection that another process has passed on, or one of datagrams, begins
	// with bytes in its buffer that no listener counts.
	if buf := f.conn.GetReadBuffer(); buf != nil {
		f.read.Store(uint64(buf.Len()))
	}
	f.recorder.connections.Add(1)
	f.conn.AddBytesReadListener(func(n uint64) { f.read.Add(n) })
	f.conn.AddBytesSentListener(func(n uint64) { f.sent.Add(n) })
	f.conn.AddConnectionEventListener(f)
}

// OnNewConnection does nothing.
func (f *filter) OnNewConnection() api.FilterStatus { return api.Continue }

// OnData is called at each read with the connection's whole read buffer, of which the
// later filters may have left bytes of earlier reads. Outside a window it costs the
// load of the gate and of a counter.
func (f *filter) OnData(buf buffer.IoBuffer) api.FilterStatus {
	if w := f.gate.Open(); w != nil {
		f.recordRead(w, buf)
	} else {
		f.offered = f.read.Load()
	}
	return api.Continue
}

// recordRead records the bytes of buf that were not in the buffer at the last call.
// Bytes that a filter before this one has drained are a gap: ReasonUnseen.
func (f *filter) recordRead(w *strategy.Window, buf buffer.IoBuffer) {
	defer f.recorder.recoverPanic("OnData")
	fresh := f.read.Load() - f.offered
	if fresh == 0 {
		return
	}
	session, data := sessionOf(w), buf.Bytes()
	before := record.PerDirection{In: f.offered, Out: f.earlier(w, &f.sent)}
	f.offered += fresh
	if unseen := fresh - min(fresh, uint64(len(data))); unseen > 0 {
		session.Skip(&f.self, record.In, before, int(unseen), record.ReasonUnseen)
		fresh -= unseen
	}
	if fresh > 0 {
		pieces := [1][]byte{data[uint64(len(data))-fresh:]}
		session.Data(&f.self, record.In, before, pieces[:], int(fresh))
	}
}

// earlier returns the number of bytes that passed before w in one direction; passed is
// that direction's counter. For a record of the other direction it is a hint: some of
// the bytes may be counted and not yet offered. For a connection that was created in w
// it is 0.
func (f *filter) earlier(w *strategy.Window, passed *atomic.Uint64) uint64 {
	if f.window == w.ID {
		return 0
	}
	return passed.Load()
}

// OnWrite is called with the buffers that the proxy is about to send. Outside a window
// it costs the load of the gate: the listener for sent bytes, which MOSN calls after
// each write, does the counting. So the first record of a connection in a window has
// the number of bytes sent by then as its offset. That number leaves out bytes that
// another goroutine wrote before the window and that still wait for a slow client.
// Within the window offsets are exact.
func (f *filter) OnWrite(bufs []buffer.IoBuffer) api.FilterStatus {
	if w := f.gate.Open(); w != nil {
		f.recordWrite(w, bufs)
	}
	return api.Continue
}

// recordWrite records the bytes of bufs. It does not keep bufs.
func (f *filter) recordWrite(w *strategy.Window, bufs []buffer.IoBuffer) {
	defer f.recorder.recoverPanic("OnWrite")
	if f.closed.Load() {
		return // MOSN calls the filters before it finds the connection closed
	}
	var few [8][]byte // a write rarely has more buffers than headers and body
	pieces, n := few[:0], 0
	for _, b := range bufs {
		if b == nil {
			continue
		}
		if p := b.Bytes(); len(p) > 0 {
			pieces = append(pieces, p)
			n += len(p)
		}
	}
	if n > 0 {
		before := record.PerDirection{In: f.earlier(w, &f.read), Out: f.sent.Load()}
		f.written.Store(before.Out + uint64(n))
		sessionOf(w).Data(&f.self, record.Out, before, pieces, n)
	}
}

// OnEvent records the connection's close event. Other events it ignores.
func (f *filter) OnEvent(event api.ConnectionEvent) {
	defer f.recorder.recoverPanic("OnEvent")
	if !event.IsClose() || f.closed.Swap(true) {
		return
	}
	if f.grpc {
		f.recorder.clients.remove(f.conn.RemoteAddr())
	}
	f.recorder.connections.Add(-1)
	if w := f.gate.Open(); w != nil {
		totals := record.PerDirection{In: f.read.Load(), Out: f.sent.Load()}
		reason := record.CloseReason(event)
		if reason == record.CloseLocal && f.recorder.upgrading.Load() && f.written.Load() > totals.Out {
			// The last write was not sent by this process, which is being replaced: the
			// connection has moved. MOSN does not say so, and closes what is left of it
			// here, as its gRPC server does at the end of its graceful timeout.
			reason = record.CloseMoved
		}
		sessionOf(w).End(&f.self, reason, totals)
	}
}

// sessionOf returns the session that receives the records of w.
func sessionOf(w *strategy.Window) *persistence.Session { return w.Sink.(*windowSink).Session }

// describe returns the connection's identity and addresses. persistence calls it when
// it first records the connection in a window.
func (f *filter) describe() record.Endpoint {
	client, server := f.conn.RemoteAddr(), f.conn.LocalAddr()
	return record.Endpoint{
		Identity: record.Identity{
			Conn:         f.recorder.run + "-" + strconv.FormatUint(f.self.ID, 10),
			Port:         f.listener.port,
			ListenerName: f.listener.name,
			Network:      networkOf(f.conn),
			Peer:         addressText(client),
			Listener:     addressText(server),
		},
		ClientAddr: addressOf(client),
		ServerAddr: addressOf(server),
	}
}

// networkOf returns "tcp", "udp" or "unix".
func networkOf(conn api.Connection) string {
	if a := conn.LocalAddr(); a != nil {
		return a.Network()
	}
	return "tcp"
}

// addressOf returns the IP address and port of a; the zero value for a Unix socket.
func addressOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.UDPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// addressText returns a as text, "@" for a Unix socket without a name.
func addressText(a net.Addr) string {
	if a == nil || a.String() == "" {
		return "@"
	}
	return a.String()
}
