package reading

import (
	"context"
	"errors"
	"fmt"
	"io"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// Query says which records are read, and from where. It is for one goroutine.
type Query struct {
	// Path is a directory, a file or "-", which stands for Options.Stdin.
	Path string

	// Defaults are directories. Where there are any, the first one that exists is read
	// instead of Path.
	Defaults []string
	IsDir    func(path string) bool // reports whether one of Defaults exists; nil is the function IsDir

	// Options say which records of the path are wanted, and what reads "-".
	Options dump.Options

	// Conns, where there are any, are the connections that are wanted besides: identities,
	// or the first characters of some. ResolveConns makes identities of them.
	Conns   []string
	Unknown []UnknownConn // those of Conns that ResolveConns has not found

	Report Report

	located  bool // remarkOther has been called
	resolved bool // Conns are whole identities
}

// SelectsAll reports whether every record of the path is wanted.
func (q *Query) SelectsAll() bool { return q.Options.Filter == (dump.Filter{}) && len(q.Conns) == 0 }

// Report receives what is not a record. Each of its functions may be nil.
type Report struct {
	// Damage is called with each damaged place. Reading goes on after it.
	Damage func(*record.DamageError)

	// Remark is called with a sentence about what was left out or assumed although nothing
	// is damaged.
	Remark func(sentence string)

	// Legacy is called once, before the first record of hex lines without
	// connections: such lines are one stream for each port.
	Legacy func()

	// Progress is called before the first record. measure returns how much of the
	// files is read, in bytes, and may be called from any goroutine until end
	// returns. Progress is not called for a query that waits for more.
	Progress func(measure func() (done, total int64)) (end func())
}

func (r *Report) damage(e *record.DamageError) {
	if r.Damage != nil {
		r.Damage(e)
	}
}

// Each calls f with every record that is wanted, in order of time, until f returns
// an error, ctx ends or there is no more. The record and its data belong to the
// reader; they are valid until f returns. Each reports damage and reads on. Its
// errors are those of f and ctx, and that the path cannot be read.
func (q *Query) Each(ctx context.Context, f func(*record.Record) error) error {
	path, err := q.Locate()
	if err != nil {
		return err
	}
	q.Options.Remark = q.Report.Remark
	d, err := dump.Open([]string{path}, q.Options)
	var damaged *record.DamageError
	if errors.As(err, &damaged) {
		q.Report.damage(damaged)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read dump: %w", err)
	}
	defer d.Close()
	if q.Options.Wait == nil && q.Report.Progress != nil {
		end := q.Report.Progress(d.Progress)
		defer end()
	}
	return q.drain(ctx, d, f)
}

// EachOf does for the bytes of stream what Each does for those of the path. f is
// called with a record as soon as stream has returned all of it.
func (q *Query) EachOf(ctx context.Context, stream io.Reader, f func(*record.Record) error) error {
	o := q.Options
	o.Stdin, o.Remark = stream, q.Report.Remark
	d, err := dump.Open([]string{"-"}, o)
	if err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	defer d.Close()
	return q.drain(ctx, d, f)
}

// checkEvery is how many records are read between two looks at the context.
const checkEvery = 1024

// drain calls f with every record of r.
func (q *Query) drain(ctx context.Context, r dump.Reader, f func(*record.Record) error) error {
	legacy := false
	for n := 0; ; n++ {
		if n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		rec, err := r.Next()
		var damaged *record.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &damaged):
			q.Report.damage(damaged)
			continue
		case err != nil:
			return err
		}
		if !q.wantsConn(rec.Conn) {
			continue
		}
		if rec.Legacy && !legacy {
			legacy = true
			if q.Report.Legacy != nil {
				q.Report.Legacy()
			}
		}
		if err := f(rec); err != nil {
			return err
		}
	}
}
