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

// filter is one connection's. MOSN (pkg/network/connection.go) calls its bytes
// read listener and OnData from the connection's read loop, OnWrite and the bytes
// sent listener from whichever goroutine writes, and OnEvent from any.
type filter struct {
	recorder *recorder
	gate     *strategy.Controller // the recorder's, here to save the hot path a step
	listener *boundListener
	conn     api.Connection
	self     persistence.Conn
	born     string // ID of the window that was open when the connection began; "" without one

	read  atomic.Uint64 // bytes that the connection has read
	shown uint64        // of those, bytes that OnData has been shown; the read loop's
	sent  atomic.Uint64 // bytes that the connection has sent
	ended atomic.Bool   // the connection has been closed
}

var (
	_ api.ReadFilter              = (*filter)(nil)
	_ api.WriteFilter             = (*filter)(nil)
	_ api.ConnectionEventListener = (*filter)(nil)
)

// InitializeReadFilterCallbacks is called once, when the filter joins its
// connection's chain.
func (f *filter) InitializeReadFilterCallbacks(cb api.ReadFilterCallbacks) {
	f.conn = cb.Connection()
	f.self.ID = f.conn.ID()
	f.self.Limit = f.listener.capture.limit
	f.self.Describe = f.describe
	f.self.Datagrams = networkOf(f.conn) == "udp"
	if w := f.gate.Open(); w != nil {
		f.born = w.ID
	}
	// A connection that another process has handed over, or a datagram's, arrives
	// with bytes that no listener is told of.
	if buf := f.conn.GetReadBuffer(); buf != nil {
		f.read.Store(uint64(buf.Len()))
	}
	f.conn.AddBytesReadListener(func(n uint64) { f.read.Add(n) })
	f.conn.AddBytesSentListener(func(n uint64) { f.sent.Add(n) })
	f.conn.AddConnectionEventListener(f)
}

// OnNewConnection lets the connection be.
func (f *filter) OnNewConnection() api.FilterStatus { return api.Continue }

// OnData sees the connection's whole undrained read buffer at each read. Out of a
// window it costs the load of the gate.
func (f *filter) OnData(buf buffer.IoBuffer) api.FilterStatus {
	if w := f.gate.Open(); w != nil {
		f.recordRead(w, buf)
	} else {
		f.shown = f.read.Load()
	}
	return api.Continue
}

// recordRead records the bytes that the buffer did not have last time.
func (f *filter) recordRead(w *strategy.Window, buf buffer.IoBuffer) {
	defer f.recorder.recoverPanic("OnData")
	fresh := f.read.Load() - f.shown
	if fresh == 0 {
		return
	}
	session, data := sessionOf(w), buf.Bytes()
	before := record.PerDirection{In: f.shown, Out: f.earlier(w, &f.sent)}
	f.shown += fresh
	if unseen := fresh - min(fresh, uint64(len(data))); unseen > 0 {
		session.Skip(&f.self, record.In, before, int(unseen), record.ReasonUnseen)
		fresh -= unseen
	}
	if fresh > 0 {
		pieces := [1][]byte{data[uint64(len(data))-fresh:]}
		session.Data(&f.self, record.In, before, pieces[:], int(fresh))
	}
}

// earlier returns how many bytes had passed before w in the direction of passed, as
// far as a record of the other direction can tell: its own may have been counted
// and not yet offered. Of a connection that began in w there are none.
func (f *filter) earlier(w *strategy.Window, passed *atomic.Uint64) uint64 {
	if f.born == w.ID {
		return 0
	}
	return passed.Load()
}

// OnWrite sees what the proxy is about to send. Out of a window it costs the load
// of the gate: the listener for sent bytes counts, which MOSN calls after each
// write. So a connection's first record in a window has the offset of what was
// sent by then: bytes that another goroutine offered before the window and that
// still wait for a slow client are not in it. Within the window offsets are exact.
func (f *filter) OnWrite(bufs []buffer.IoBuffer) api.FilterStatus {
	if w := f.gate.Open(); w != nil {
		f.recordWrite(w, bufs)
	}
	return api.Continue
}

func (f *filter) recordWrite(w *strategy.Window, bufs []buffer.IoBuffer) {
	defer f.recorder.recoverPanic("OnWrite")
	if f.ended.Load() {
		return // MOSN asks the filters before it finds the connection closed
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
		sessionOf(w).Data(&f.self, record.Out, before, pieces, n)
	}
}

// OnEvent notes the connection's end.
func (f *filter) OnEvent(event api.ConnectionEvent) {
	defer f.recorder.recoverPanic("OnEvent")
	if !event.IsClose() || f.ended.Swap(true) {
		return
	}
	if w := f.gate.Open(); w != nil {
		totals := record.PerDirection{In: f.read.Load(), Out: f.sent.Load()}
		sessionOf(w).End(&f.self, record.CloseReason(event), totals)
	}
}

// sessionOf returns the session that takes a window's records.
func sessionOf(w *strategy.Window) *persistence.Session { return w.Tap.(*tap).Session }

// describe tells who talks with whom, when the connection is first recorded.
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

// addressOf returns a as a number; not valid for Unix sockets.
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
