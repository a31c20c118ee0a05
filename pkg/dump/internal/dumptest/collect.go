package dumptest

import (
	"bytes"
	"errors"
	"io"

	"mosn.io/tcpcopy/pkg/record"
)

// Collect reads all records and damage of r, a reader or a decoder. It joins the
// pieces of one record again.
func Collect(r interface {
	Next() (*record.Record, error)
}) (records []record.Record, damage []*record.DamageError, err error) {
	for {
		rec, err := r.Next()
		var d *record.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return records, damage, nil
		case errors.As(err, &d):
			damage = append(damage, d)
		case err != nil:
			return records, damage, err
		default:
			records = appendJoined(records, *rec)
		}
	}
}

func appendJoined(records []record.Record, r record.Record) []record.Record {
	r.Data = bytes.Clone(r.Data)
	if n := len(records); n > 0 && r.Kind == record.KindData && r.Network != "udp" {
		last := &records[n-1]
		if last.Kind == r.Kind && last.Conn == r.Conn && last.Time.Equal(r.Time) && last.Direction == r.Direction && last.Offset+last.Length == r.Offset {
			last.Data = append(last.Data, r.Data...)
			last.Length += r.Length
			return records
		}
	}
	return append(records, r)
}
