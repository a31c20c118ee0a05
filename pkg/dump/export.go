package dump

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"mosn.io/tcpcopy/pkg/dump/internal/recent"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// exportBuffer is how many bytes an Exporter collects before it writes.
const exportBuffer = 256 << 10

// Exporter writes records as one pcapng file, whatever format they came from. As
// Streams does, it cuts off bytes that were there before and adds the gaps that no
// record mentions. Programs that go by addresses and sequence numbers, such as
// Wireshark, have each connection as one stream. Call Flush after the last record.
type Exporter struct {
	w        io.Writer
	buf      []byte
	encoder  *pcapng.Encoder
	flows    recent.Table[connKey, *exportFlow]
	active   activeFlows
	pairs    addressPairs
	waiting  map[*exportFlow]uint64 // whose opening is not written yet, with their order
	openings uint64                 // that there were
	sniffer  protocolSniffer
	sockets  socketPorts
}

// connKey names a connection in a window.
type connKey struct{ window, conn string }

// NewExporter returns an Exporter that writes to w; app is the name of the
// program for the file's header.
func NewExporter(w io.Writer, app string) *Exporter {
	e := &Exporter{w: w, encoder: pcapng.NewEncoder(), active: activeFlows{most: maxActive}, pairs: newAddressPairs(), waiting: map[*exportFlow]uint64{}}
	e.buf = pcapng.AppendHead(make([]byte, 0, exportBuffer+pcapng.MaxBlock), app)
	return e
}

// Write adds a record. It does not keep r.
func (e *Exporter) Write(r *record.Record) error {
	key := connKey{r.Window, r.Conn}
	f, known := e.flows.Find(key)
	var c *activeFlow
	if known {
		c = e.active.use(f)
	}
	if !known || r.Kind == record.KindOpen && c.opened {
		f, c = &exportFlow{}, &activeFlow{Flow: flowOf(&r.Identity)}
		e.active.add(f, c)
		// A connection that was forgotten and goes on identifies itself anew.
		e.flows.Add(key, r.Window, f)
	}
	t := r.Time.UnixNano()
	if r.Kind == record.KindOpen {
		f.openAt = t
		if r.HasBase {
			c.based, c.FromStart = true, r.Start
			c.Next, c.known = r.Base, [2]bool{true, true}
		}
		if len(e.waiting) >= recent.MaxConnections {
			if err := e.openWaiting(); err != nil {
				return err
			}
		}
		e.openings++
		e.waiting[f] = e.openings
		return nil
	}
	if r.Kind == record.KindState {
		if !c.opened && c.Network != "udp" { // as the recorder does
			c.Checkpoint, c.checkpointAt = slices.Clone(r.Data), r.Base
			c.based, c.Next, c.known = true, r.Base, [2]bool{true, true}
		}
		return nil
	}
	if !c.opened {
		e.open(f, r, t)
	}
	switch r.Kind {
	case record.KindData, record.KindGap:
		e.pass(f, r, t)
	case record.KindClose:
		e.buf = e.encoder.Close(e.buf, t, &c.Flow, record.CloseReason(r.Reason), r.Totals)
		f.user.over = record.CloseReason(r.Reason) != record.CloseMoved
		e.flows.Remove(key)
		e.active.remove(f)
	}
	return e.flushFull()
}

// open writes a connection's opening, which waited for its first bytes: hex_meta
// lines do not say where in the connection the window begins.
func (e *Exporter) open(flow *exportFlow, r *record.Record, t int64) {
	f := e.active.use(flow)
	f.opened = true
	delete(e.waiting, flow)
	handshake := f.FromStart
	if r.Kind == record.KindData || r.Kind == record.KindGap {
		if !f.based {
			f.Next.Set(r.Direction, r.Offset)
			f.known[r.Direction] = true
			handshake = r.Offset == 0
		}
		f.Next.Set(r.Direction, min(f.Next.Of(r.Direction), r.Offset)) // see pass
	}
	if flow.openAt == 0 {
		flow.openAt = t
	}
	if f.Next != f.checkpointAt || f.FromStart {
		f.Checkpoint = nil
	}
	a := pcapng.Appearance{Handshake: handshake, Unknown: [2]bool{!f.known[record.In], !f.known[record.Out]}}
	if f.Network == "unix" {
		a.ServerPort = e.sockets.port(f.Port)
	}
	flow.user = e.pairs.enter(&f.Flow, &a)
	_, server := pcapng.PacketAddresses(&f.Flow, &a)
	f.port = server.Port()
	e.buf = e.encoder.OpenAs(e.buf, flow.openAt, &f.Flow, a)
	f.Checkpoint = nil
}

// pass writes what is new in a record of data or a gap, and the gap before it that no
// record mentions.
func (e *Exporter) pass(flow *exportFlow, r *record.Record, t int64) {
	f := e.active.use(flow)
	if r.Length == 0 && f.Network != "udp" {
		return // no packet shows it, nor where its direction begins
	}
	next := r.Offset
	if f.known[r.Direction] {
		next = f.Next.Of(r.Direction)
	}
	if !f.any[r.Direction] {
		next = min(next, r.Offset) // as in Streams, the bytes count where they say more than the opening
	}
	f.known[r.Direction], f.any[r.Direction] = true, true
	if r.Offset > next {
		e.buf = e.encoder.GapWord(e.buf, t, &f.Flow, r.Direction, next, r.Offset-next, record.ReasonMissing)
		next = r.Offset
	}
	before := next - r.Offset
	if before > 0 && before >= r.Length {
		if r.Length > 0 {
			return // all of it was there before
		}
		before = 0
	}
	if r.Kind == record.KindData {
		if f.Network != "udp" {
			e.sniffer.look(&f.speaks, f.port, r)
		}
		e.buf = e.encoder.Data(e.buf, t, &f.Flow, r.Direction, next, r.Data[before:])
	} else {
		e.buf = e.encoder.GapWord(e.buf, t, &f.Flow, r.Direction, next, r.Length-before, r.Reason)
	}
	flow.user.passed(&f.Flow)
}

// DecodeAs returns what Wireshark has to be told so that it decodes the file as the
// protocols that the connections speak: for each port on which it would not recognise
// them, the value of an option -d of tshark, such as "tcp.port==2046,http2". In
// Wireshark's window that is "Decode As". It follows Flush.
func (e *Exporter) DecodeAs() []string { return e.sniffer.decodeAs() }

// openWaiting writes the openings of the connections without bytes.
func (e *Exporter) openWaiting() error {
	waiting := slices.SortedFunc(maps.Keys(e.waiting), func(a, b *exportFlow) int {
		return cmp.Or(cmp.Compare(a.openAt, b.openAt), cmp.Compare(e.waiting[a], e.waiting[b]))
	})
	for _, f := range waiting {
		e.open(f, &record.Record{Kind: record.KindOpen}, f.openAt)
		if err := e.flushFull(); err != nil {
			return err
		}
	}
	return nil
}

// Flush writes what there is. It follows the last record.
func (e *Exporter) Flush() error {
	if err := e.openWaiting(); err != nil {
		return err
	}
	return e.flush()
}

// flushFull writes what is collected once that is a whole buffer.
func (e *Exporter) flushFull() error {
	if len(e.buf) < exportBuffer {
		return nil
	}
	return e.flush()
}

// flush writes what is collected.
func (e *Exporter) flush() error {
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// flowOf returns what an encoder needs to know of a decoded connection.
func flowOf(id *record.Identity) record.Flow {
	f := record.Flow{Endpoint: record.Endpoint{Identity: *id}}
	f.ClientAddr, _ = netip.ParseAddrPort(id.Peer)
	f.ServerAddr, _ = netip.ParseAddrPort(id.Listener)
	if f.Network == "" {
		f.Network = "tcp"
		if _, err := strconv.ParseUint(id.Port, 10, 16); err != nil {
			f.Network = "unix"
		}
	}
	return f
}
