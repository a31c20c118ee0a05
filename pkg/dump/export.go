package dump

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/internal/recent"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// exportBuffer is how many bytes an Exporter collects before it writes.
const exportBuffer = 256 << 10

// Exporter writes records as one pcapng file, whatever format they came from.
// Call Flush after the last record.
type Exporter struct {
	w          io.Writer
	buf        []byte
	encoder    *pcapng.Encoder
	interfaces map[string]uint32
	flows      recent.Table[connKey, *exportFlow]
}

// exportFlow is a connection of the file.
type exportFlow struct {
	record.Flow
	opened bool
	openAt int64 // of the opening that is not written yet
	based  bool  // Next and FromStart are what the records' file says
}

// NewExporter returns an Exporter that writes to w; app is the name of the
// program for the file's header.
func NewExporter(w io.Writer, app string) *Exporter {
	e := &Exporter{w: w, encoder: pcapng.NewEncoder(), interfaces: map[string]uint32{}}
	e.buf = pcapng.AppendSectionHeader(make([]byte, 0, exportBuffer+pcapng.MaxBlock), app)
	return e
}

func interfaceKey(f *record.Flow) string { return f.Network + " " + f.Port + " " + f.ListenerName }

// Write adds a record. It does not keep r.
func (e *Exporter) Write(r *record.Record) error {
	key := connKey{r.Window, r.Conn}
	f, known := e.flows.Find(key)
	if !known || r.Kind == record.KindOpen && f.opened {
		f = &exportFlow{Flow: flowOf(&r.Identity)}
		// A connection that was forgotten and goes on identifies itself anew.
		e.flows.Add(key, r.Window, f)
		e.describe(f)
	}
	t := r.Time.UnixNano()
	if r.Kind == record.KindOpen {
		f.openAt = t
		if r.HasBase {
			f.based, f.FromStart = true, r.Start
			f.Next = r.Base
		}
		return e.flushFull()
	}
	if !f.opened {
		e.open(f, r, t)
	}
	switch r.Kind {
	case record.KindData:
		e.buf = e.encoder.Data(e.buf, t, &f.Flow, r.Direction, r.Offset, r.Data)
	case record.KindGap:
		e.buf = e.encoder.GapWord(e.buf, t, &f.Flow, r.Direction, r.Offset, r.Length, r.Reason)
	case record.KindClose:
		e.buf = e.encoder.Close(e.buf, t, &f.Flow, record.CloseReason(r.Reason), r.Totals)
		e.flows.Remove(key)
	}
	return e.flushFull()
}

// open writes a connection's opening, which waited for its first bytes: hex_meta
// lines do not say where in the connection the window begins.
func (e *Exporter) open(f *exportFlow, r *record.Record, t int64) {
	f.opened = true
	if !f.based && (r.Kind == record.KindData || r.Kind == record.KindGap) {
		f.Next.Set(r.Direction, r.Offset)
		f.FromStart = r.Offset == 0
	}
	if f.openAt == 0 {
		f.openAt = t
	}
	e.buf = e.encoder.Open(e.buf, f.openAt, &f.Flow)
}

// describe writes the interface of a connection's listener, if it is new.
func (e *Exporter) describe(f *exportFlow) {
	key := interfaceKey(&f.Flow)
	number, known := e.interfaces[key]
	f.Interface = number // where there are too many, the first one
	if known || len(e.interfaces) >= pcapng.MaxInterfaces {
		return
	}
	f.Interface = uint32(len(e.interfaces))
	e.interfaces[key] = f.Interface
	name := f.ListenerName
	if name == "" {
		name = "port " + f.Port
	}
	e.buf = pcapng.AppendInterface(e.buf, name, f.Network+" "+f.Port)
}

// flushFull writes what is collected once that is a whole buffer.
func (e *Exporter) flushFull() error {
	if len(e.buf) < exportBuffer {
		return nil
	}
	return e.Flush()
}

// Flush writes what is collected.
func (e *Exporter) Flush() error {
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
	switch {
	case f.Network != "":
	case strings.HasPrefix(id.Port, "/") || strings.HasPrefix(id.Port, "@"):
		f.Network = "unix"
	default:
		f.Network = "tcp"
	}
	return f
}
