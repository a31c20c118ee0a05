package test

import (
	"bytes"
	"errors"
	"io"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// decoded returns what pkg/dump reads of a window's files in one format, once it
// agrees with the window's accounts. The oracle judges the records as it does the
// flow log's lines.
func (m *mosn) decoded(w oracle.Window, format dump.Format) []*oracle.Connection {
	m.t.Helper()
	d, err := dump.Open([]string{m.dump}, dump.Options{Format: format, Filter: dump.Filter{Window: w.Window}})
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			m.t.Error(err)
		}
	}()
	var lines []oracle.Line
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			m.t.Fatal(err)
		}
		lines = append(lines, lineOf(r))
	}
	all, err := oracle.Connections(lines)
	if err != nil {
		m.t.Fatalf("%s: %v", format, err)
	}
	w.Records = count(lines) // long records are several packets, and read from long lines in parts
	if err := w.Agrees(all); err != nil {
		m.t.Errorf("%s: %v", format, err)
	}
	return all
}

// lineOf returns the line of a hex_meta log that says what r does. It does not
// keep r's bytes.
func lineOf(r *record.Record) oracle.Line {
	l := oracle.Line{
		Window: r.Window, Port: r.Port, Conn: r.Conn, Offset: r.Offset, Length: r.Length, Payload: bytes.Clone(r.Data),
		Reason: r.Reason, Client: r.Peer, Server: r.Listener, TotalIn: r.Totals.In, TotalOut: r.Totals.Out,
	}
	l.Direction = oracle.In
	if r.Direction == record.Out {
		l.Direction = oracle.Out
	}
	l.Kind = map[record.Kind]oracle.Kind{
		record.KindData: oracle.Data, record.KindOpen: oracle.Open, record.KindGap: oracle.Gap, record.KindClose: oracle.Close,
	}[r.Kind]
	return l
}

// count counts the records in each direction.
func count(lines []oracle.Line) (n oracle.PerDirection) {
	for _, l := range lines {
		switch {
		case l.Kind == oracle.Data && l.Direction == oracle.In:
			n.In++
		case l.Kind == oracle.Data:
			n.Out++
		}
	}
	return n
}
