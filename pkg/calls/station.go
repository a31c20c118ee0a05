package calls

import (
	"time"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Options say how streams are decoded.
type Options struct {
	// Protocols has, by a listener's port or path, the protocol that is spoken there, one
	// of protocol.Names. On other listeners the bytes decide.
	Protocols map[string]string

	// Memory is how many bytes each decoder may hold; 0 means protocol.DefaultMemory.
	Memory int

	// EndAtClose has the calls of a connection end when it closes: for who waits for more
	// records. Without it they end when its turn among the connections comes, so that
	// records may come twice.
	EndAtClose bool

	// Span, when not nil, is called with each value in the connection c. Those of a call
	// come before the call. The span's value is valid until Span returns.
	Span func(c *dump.Connection, s call.Span)

	// Keeper, when not nil, has what Span's owner keeps of connections.
	Keeper Keeper

	// Since and Until, where they are not zero, limit the calls to those that began from
	// Since on and before Until. A call is decoded from all of its connection in the
	// window, so give the station the records before and after that too.
	Since, Until time.Time

	// Topics, when not nil, is called once, with the first topic of Kafka that a request has by a number that no answer
	// has named so far. It returns the names of topics by their numbers, of other connections or of later ones; see
	// TopicNames.
	Topics func() map[[16]byte]string

	// Dropped, when not nil, is called with each call outside Since and Until, so that who
	// kept its values can forget them. The call is valid until Dropped returns.
	Dropped func(*Call)
}

// Station makes calls of records. It belongs to one goroutine.
type Station struct {
	options  Options
	each     func(*Call) error
	streams  *dump.Streams
	reasons  map[string]record.Reason
	err      error // the first one of each
	coverage Coverage
	topics   map[[16]byte]string // names of Kafka's topics by their numbers
	only     string              // the protocol that is decoded; "" for all
}

// New returns a station that calls each with every call, in the order in which they have
// ended. The call is the station's and valid until each returns; its strings are each's
// to keep. An error of each is what Add or Finish returns.
func New(o Options, each func(*Call) error) *Station {
	s := &Station{options: o, each: each, reasons: map[string]record.Reason{}}
	for r := range record.Reason(record.NumReasons) {
		s.reasons[r.String()] = r
	}
	s.coverage.windows = map[string]*account{}
	s.streams = dump.NewStreams(s.event, s.done)
	s.streams.StoreStates(s.parse)
	return s
}

// Add gives the station the next record, in a dump.Reader's order. It does not keep r.
func (s *Station) Add(r *record.Record) error { return s.streams.Add(r) }

// Finish says that there are no more records: calls that have not ended end here.
func (s *Station) Finish() error { return s.streams.Finish() }

// Late returns how many bytes were left out, as dump.Streams says it.
func (s *Station) Late() uint64 { return s.streams.Late() }

// connection is what the station has of a connection in a window. It is the sink of its
// decoder.
type connection struct {
	station *Station
	of      *dump.Connection
	decoder protocol.Decoder
	call    Call
	bytes   uint64 // recorded
	skipped uint64 // of these: passed over by the decoder
	gaps    uint64
	ended   bool                // the decoder knows that it ended
	base    record.PerDirection // offsets from which it is decoded with a checkpoint; zero without one

	fallback Fallback // the first one, without whose it is; its protocol is empty if there was none

	kept []byte // what the keeper has of it, while of is nil
}

var _ protocol.FallbackSink = (*connection)(nil)

// event gives an event to the connection's decoder.
func (s *Station) event(c *dump.Connection, r *record.Record) error {
	own, ok := c.State.(*connection)
	if !ok {
		own = s.connection(c)
	}
	own.belongTo(c)
	switch {
	case s.only != "" && own.isOther():
		return nil
	case !own.ended:
	case r.Kind == record.KindData: // after the close event
		own.bytes += r.Length
		own.skipped += r.Length
		return nil
	default:
		return nil
	}
	switch r.Kind {
	case record.KindOpen:
		if r.HasBase {
			own.decoder.Open(r.Base)
		}
	case record.KindState:
		own.resume(c, r)
	case record.KindData:
		own.bytes += r.Length
		s.coverage.see(c.Window, r.Time)
		own.decoder.Data(r.Direction, r.Offset, r.Time, r.Data)
	case record.KindGap:
		own.gaps += r.Length
		s.coverage.see(c.Window, r.Time)
		own.decoder.Gap(r.Direction, r.Offset, r.Length, s.reasons[r.Reason])
	case record.KindClose:
		own.decoder.Close(r.Time, record.CloseReason(r.Reason), r.Totals)
		if s.options.EndAtClose {
			own.end(c)
		}
	}
	return s.err
}

func (s *Station) connection(c *dump.Connection) *connection {
	own := &connection{station: s}
	own.belongTo(c)
	own.decoder = protocol.New(own, s.limits(c))
	c.State = own
	return own
}

// limits returns those of the decoder of a connection.
func (s *Station) limits(c *dump.Connection) protocol.Limits {
	return protocol.Limits{Memory: s.options.Memory, Protocol: s.options.Protocols[c.Port]}
}

// resume has the connection decoded from the checkpoint in r on, if nothing of it has come
// yet. Where the checkpoint does not fit, the connection is decoded as without it: a reader
// of another version has to do without.
func (o *connection) resume(c *dump.Connection, r *record.Record) {
	if o.bytes > 0 || o.gaps > 0 || o.ended {
		return
	}
	if d, err := protocol.ResumeAt(o, o.station.limits(c), r.Base, r.Data); err == nil {
		o.decoder, o.base = d, r.Base
		return
	}
	o.decoder.Open(r.Base)
}

// belongTo says whose connection o is, which changes when it was in the temporary file.
func (o *connection) belongTo(c *dump.Connection) {
	if o.of == c {
		return
	}
	o.of, o.call = c, Call{Identity: c.Identity, Of: c}
	if len(o.kept) > 0 {
		if err := o.station.options.Keeper.Restore(c, o.kept); err != nil && o.station.err == nil {
			o.station.err = err
		}
		o.kept = nil
	}
}

// done ends the decoder of a connection whose window is over.
func (s *Station) done(c *dump.Connection) error {
	own, ok := c.State.(*connection)
	if !ok {
		return nil
	}
	own.belongTo(c)
	own.end(c)
	s.coverage.add(own)
	if s.options.Keeper != nil {
		s.options.Keeper.Forget(c)
	}
	c.State = nil
	return s.err
}

// end ends the decoder, if that has not been done.
func (o *connection) end(c *dump.Connection) {
	if !o.ended {
		o.ended = true
		o.decoder.End(c.Last)
	}
}

// Call implements call.Sink.
func (o *connection) Call(c *call.Call) {
	if o.station.err != nil {
		return
	}
	o.call.Call = *c
	o.cut(&o.call.Call)
	options := &o.station.options
	if at := c.Time(); within(at, at, options.Since, options.Until) {
		o.station.err = o.station.each(&o.call)
	} else if options.Dropped != nil {
		options.Dropped(&o.call)
	}
}

// cut says of a call that began before the window that it did, and leaves its ranges what
// of it is in the window. Only a decoder that went on from a checkpoint knows more.
func (o *connection) cut(c *call.Call) {
	for _, dir := range record.Directions() {
		m, base := &c.Request, o.base.Of(dir)
		if dir == record.Out {
			m = &c.Response
		}
		if !m.Present || m.Offset >= base {
			continue
		}
		c.Incomplete |= call.BeganBefore
		m.Range, m.Body = from(m.Range, base), from(m.Body, base)
		m.Missing, m.Between = min(m.Missing, m.Length), min(m.Between, m.Length)
	}
}

// from returns the part of r from an offset on.
func from(r call.Range, offset uint64) call.Range {
	if r.Offset >= offset || r.Length == 0 {
		return r
	}
	return call.Range{Offset: offset, Length: max(r.End(), offset) - offset}
}

// within reports whether something that lasted from first to last overlaps the time from
// since on and before until. Times that are zero are not known, or no limit.
func within(first, last, since, until time.Time) bool {
	return (since.IsZero() || last.IsZero() || !last.Before(since)) && (until.IsZero() || first.IsZero() || first.Before(until))
}

// Span implements call.Sink.
func (o *connection) Span(s call.Span) { o.station.options.Span(o.of, s) }

// WantsSpans implements call.SpanChooser.
func (o *connection) WantsSpans() bool { return o.station.options.Span != nil }

// Skipped implements call.SkipSink.
func (o *connection) Skipped(dir record.Direction, r call.Range) {
	if r = from(r, o.base.Of(dir)); r.Offset >= o.base.Of(dir) {
		o.skipped += r.Length
	}
}

// Fallback implements protocol.FallbackSink.
func (o *connection) Fallback(protocol string, dir record.Direction, offset uint64, err error) {
	if o.fallback.Protocol == "" {
		o.fallback = Fallback{Protocol: protocol, Direction: dir, Offset: offset, Reason: err.Error()}
	}
}

// Coverage returns what the calls so far are based on. It is complete after Finish.
func (s *Station) Coverage() Coverage { return s.coverage.sum(s.options.Since, s.options.Until) }
