package replay

import (
	"cmp"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// Recording is what is replayed: the sessions of a dump. Close frees it.
type Recording struct {
	Begin    time.Time // of the first record
	Sessions []*Session
	payloads payloads
}

// LoadOptions say how a Recording is kept.
type LoadOptions struct {
	Memory int64  // bytes of payload in memory, beyond which a file is used; zero means 64 MiB
	Dir    string // of that file; empty means the system's directory for temporary files

	// Damaged, when not nil, is called with what could not be read. The sessions
	// concerned have gaps.
	Damaged func(*record.DamageError)
}

// Load reads all records of r, which stays the caller's. On an error there is no
// Recording to close.
func Load(r dump.Reader, o LoadOptions) (*Recording, error) {
	l := NewLoader(o)
	for {
		rec, err := r.Next()
		var damage *record.DamageError
		switch {
		case errors.Is(err, io.EOF):
			return l.Finish()
		case errors.As(err, &damage):
			if o.Damaged != nil {
				o.Damaged(damage)
			}
			continue
		case err == nil:
			err = l.Add(rec)
		}
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
}

// Loader makes a Recording of records that come one by one. Call Finish after the
// last one, or Close to give up.
type Loader struct {
	recording *Recording
	streams   *dump.Streams // the State of its connections is their *Session
}

// NewLoader returns a Loader without records.
func NewLoader(o LoadOptions) *Loader {
	if o.Memory <= 0 {
		o.Memory = defaultMemory
	}
	l := &Loader{
		recording: &Recording{payloads: payloads{dir: o.Dir, limit: o.Memory}},
	}
	l.streams = dump.NewStreams(l.event, l.done)
	return l
}

// Add gives l the next record, in a Reader's order. It does not keep r.
func (l *Loader) Add(r *record.Record) error {
	if l.recording.Begin.IsZero() {
		l.recording.Begin = r.Time
	}
	return l.streams.Add(r)
}

// event keeps data and gaps of a connection.
func (l *Loader) event(connection *dump.Connection, r *record.Record) error {
	s, known := connection.State.(*Session)
	if !known {
		s = &Session{recording: l.recording}
		connection.State = s
	}
	at := r.Time.Sub(l.recording.Begin).Nanoseconds()
	switch r.Kind {
	case record.KindGap:
		s.events = append(s.events, event{at: at, n: int(min(r.Length, math.MaxInt32)), dir: r.Direction, gap: true})
	case record.KindData:
		for data := r.Data; len(data) > 0; {
			pos, n, err := l.recording.payloads.add(data)
			if err != nil {
				return err
			}
			s.events = append(s.events, event{at: at, pos: pos, n: n, dir: r.Direction})
			data = data[n:]
		}
	}
	return nil
}

// done keeps what is known of a connection whose window is over.
func (l *Loader) done(connection *dump.Connection) error {
	s := connection.State.(*Session)
	s.Identity = connection.Identity
	s.Start = connection.First.Sub(l.recording.Begin)
	s.Length = connection.Last.Sub(connection.First)
	s.Bytes, s.Lost = connection.Bytes, connection.Lost
	side, _ := record.CloseReason(connection.Reason).Side()
	s.facts = facts{
		began: connection.Began(), closed: connection.Closed, legacy: connection.Legacy,
		server: connection.Closed && side == record.Out,
		both:   connection.Recorded(record.Out),
	}
	inRequest := false
	for i := range s.events {
		e := &s.events[i]
		if e.gap {
			s.facts.gaps.Add(e.dir, 1)
		}
		if e.dir == record.In && !inRequest {
			s.Turns++
		}
		inRequest = e.dir == record.In
	}
	s.events = slices.Clip(s.events)
	l.recording.Sessions = append(l.recording.Sessions, s)
	return nil
}

// Finish returns the Recording, its sessions in the order of their starts.
// The Loader must not be used any more.
func (l *Loader) Finish() (*Recording, error) {
	r := l.recording
	if err := errors.Join(l.streams.Finish(), r.payloads.seal()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	slices.SortStableFunc(r.Sessions, func(a, b *Session) int { return cmp.Compare(a.Start, b.Start) })
	// A connection without answers may be one that got none, if others of its
	// listener did.
	answered := map[string]bool{}
	for _, s := range r.Sessions {
		answered[s.Port] = answered[s.Port] || s.facts.both
	}
	for _, s := range r.Sessions {
		s.answers = answered[s.Port]
	}
	return r, nil
}

// Close gives up what was loaded.
func (l *Loader) Close() error { return l.recording.Close() }

// Close frees the payload. No replay of it may be under way. It may be called
// more than once.
func (r *Recording) Close() error { return r.payloads.close() }
