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

	// Damaged, when not nil, is told of what could not be read. The sessions
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
	tracker   *dump.Tracker
	live      map[*dump.Connection]*Session
}

// NewLoader returns a Loader without records.
func NewLoader(o LoadOptions) *Loader {
	if o.Memory <= 0 {
		o.Memory = defaultMemory
	}
	l := &Loader{
		recording: &Recording{payloads: payloads{dir: o.Dir, limit: o.Memory}},
		live:      map[*dump.Connection]*Session{},
	}
	l.tracker = dump.NewTracker(l.done)
	return l
}

// Add takes a record in, in a Reader's order. It cuts off what was recorded twice
// and does not keep r.
func (l *Loader) Add(r *record.Record) error {
	if l.recording.Begin.IsZero() {
		l.recording.Begin = r.Time
	}
	connection, missing, _ := l.tracker.Add(r)
	c := l.live[connection]
	if c == nil {
		c = &Session{recording: l.recording}
		l.live[connection] = c
	}
	at := r.Time.Sub(l.recording.Begin).Nanoseconds()
	for _, g := range missing {
		if g.Length > 0 {
			c.events = append(c.events, gapEvent(at, g.Direction, g.Length))
		}
	}
	switch {
	case r.Kind == record.KindGap && r.Length > 0:
		c.events = append(c.events, gapEvent(at, r.Direction, r.Length))
	case r.Kind == record.KindData:
		for data := r.Data; len(data) > 0; {
			pos, n, err := l.recording.payloads.add(data)
			if err != nil {
				return err
			}
			c.events = append(c.events, event{at: at, pos: pos, n: n, dir: r.Direction})
			data = data[n:]
		}
	}
	return nil
}

func gapEvent(at int64, dir record.Direction, length uint64) event {
	return event{at: at, n: int(min(length, math.MaxInt32)), dir: dir, gap: true}
}

// done takes over what is known of a connection whose window is over.
func (l *Loader) done(connection *dump.Connection) {
	c := l.live[connection]
	delete(l.live, connection)
	c.Identity = connection.Identity
	c.Start = connection.First.Sub(l.recording.Begin)
	c.Length = connection.Last.Sub(connection.First)
	c.Bytes, c.Lost = connection.Bytes, connection.Lost
	c.facts = facts{
		began: connection.Began(), closed: connection.Closed, legacy: connection.Legacy,
		server: connection.Closed && closedByServer(connection.Reason),
		both:   connection.Recorded(record.Out),
	}
	asking := false
	for i := range c.events {
		e := &c.events[i]
		if e.gap {
			c.facts.gaps[e.dir]++
		}
		if e.dir == record.In && !asking {
			c.Turns++
		}
		asking = e.dir == record.In
	}
	c.events = slices.Clip(c.events)
	l.recording.Sessions = append(l.recording.Sessions, c)
}

// Finish returns the Recording, its sessions in the order of their starts.
// The Loader must not be used any more.
func (l *Loader) Finish() (*Recording, error) {
	l.tracker.Finish()
	r := l.recording
	if err := r.payloads.seal(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	slices.SortStableFunc(r.Sessions, func(a, b *Session) int { return cmp.Compare(a.Start, b.Start) })
	// A connection without answers may be one that got none, if others of its
	// listener did.
	answered := map[string]bool{}
	for _, c := range r.Sessions {
		answered[c.Port] = answered[c.Port] || c.facts.both
	}
	for _, c := range r.Sessions {
		c.answers = answered[c.Port]
	}
	return r, nil
}

// Close gives up what was loaded.
func (l *Loader) Close() error { return l.recording.Close() }

// Close frees the payload. No replay of it may be under way. It may be called
// more than once.
func (r *Recording) Close() error { return r.payloads.close() }
