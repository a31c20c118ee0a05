package cli

import (
	"encoding/json"
	"io"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// recordRow is a record as a JSON line.
type recordRow struct {
	Kind      string               `json:"kind"` // open, state, data, gap or close
	Time      time.Time            `json:"time"`
	Window    string               `json:"window"`
	Conn      string               `json:"conn"`
	Port      string               `json:"port"`
	Peer      string               `json:"peer,omitempty"`
	Listener  string               `json:"listener,omitempty"`
	Direction string               `json:"direction,omitempty"` // of data and gaps
	Offset    *uint64              `json:"offset,omitempty"`    // of data and gaps
	Length    *uint64              `json:"length,omitempty"`    // of data and gaps, in bytes
	Data      []byte               `json:"data,omitempty"`      // of data and states; base64
	Base      *record.PerDirection `json:"base,omitempty"`      // of states: the offsets at which they hold
	Reason    string               `json:"reason,omitempty"`    // of gaps and closes
	Totals    *record.PerDirection `json:"totals,omitempty"`    // of closes
}

// rowWriter writes records as JSON lines.
type rowWriter struct{ e *json.Encoder }

func newRowWriter(w io.Writer) rowWriter {
	return rowWriter{newJSONLines(w)}
}

func (w rowWriter) write(r *record.Record) error {
	row := recordRow{
		Kind: r.Kind.String(), Time: r.Time.UTC(), Window: r.Window, Conn: r.Conn, Port: r.Port,
		Peer: r.Peer, Listener: r.Listener, Reason: r.Reason, Data: r.Data,
	}
	switch r.Kind {
	case record.KindData, record.KindGap:
		row.Direction, row.Offset, row.Length = r.Direction.String(), &r.Offset, &r.Length
	case record.KindState:
		row.Base, row.Length = &r.Base, &r.Length
	case record.KindClose:
		row.Totals = &r.Totals
	}
	return w.e.Encode(row)
}
