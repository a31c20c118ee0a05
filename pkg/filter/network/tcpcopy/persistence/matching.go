package persistence

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/trigger"
	"mosn.io/tcpcopy/pkg/record"
)

// Trigger is a trigger of the flight recorder; see trigger.Trigger.
type Trigger = trigger.Trigger

// Triggers are compiled triggers; see trigger.Set.
type Triggers = trigger.Set

// TriggerOptions are what CompileTriggers needs beside the triggers; see trigger.Options.
type TriggerOptions = trigger.Options

// CompileTriggers checks triggers and compiles them. Its error joins a *model.FieldError for
// every fault.
func CompileTriggers(all []Trigger, o TriggerOptions) (*Triggers, error) {
	return trigger.Compile(all, o)
}

// TriggerEvent says that a trigger was met.
type TriggerEvent struct {
	Name     string // of the trigger
	Time     time.Time
	Conn     string // the connection's identity
	Listener string // name of its listener

	Call *record.CauseCall // that the trigger's condition is true of; nil for others
}

// matchEvery is how often the entries are matched when there are few.
const matchEvery = 20 * time.Millisecond

// matchSlice is how many bytes of payload a matcher looks at before others may run.
const matchSlice = 256 << 10

// restoreAfter is how long a matcher must have kept up before a trigger that was shed is
// matched again.
const restoreAfter = time.Minute

// matchings match the triggers in all shards of a ring.
type matchings struct {
	event func(TriggerEvent)

	mu    sync.Mutex // guards the rest
	set   *Triggers  // nil where nothing is matched
	all   []*matching
	ended bool
}

// matching matches the triggers in one shard, in a goroutine of its own.
type matching struct {
	flight        *Flight
	event         func(TriggerEvent)
	reader        *buffer.Reader
	sets          chan *Triggers // the next set; room for one
	stop          chan struct{}
	done          sync.WaitGroup
	matcher       *trigger.Matcher
	set           *Triggers
	endpoints     []*endpoint // by slot
	since         int         // bytes of payload since others could run
	checkpoints   *checkpoints
	checkpointing checkpointing
	looked        time.Time // when the matching last looked at what the ring has given up
	late          time.Time // when the matcher did not keep up, or a trigger was restored, last
}

// endpoint is a connection of a matching.
type endpoint struct {
	record.Endpoint
	description string // in its headers
}

// Match has those triggers matched from now on, and no others; nil matches nothing. event is
// called, from any goroutine, with what they find; it must not wait. The event of the first
// call counts.
func (f *Flight) Match(set *Triggers, event func(TriggerEvent)) {
	m := &f.matchings
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	if set != nil && set.Len() == 0 {
		set = nil
	}
	if set != nil && m.set != nil {
		set.Inherit(m.set)
	}
	m.set, m.event = set, event
	if set != nil {
		f.checkpointMemory.limit.Store(set.Spare())
	}
	switch {
	case set == nil:
		m.endLocked()
	case m.all != nil:
		for _, one := range m.all {
			select {
			case <-one.sets: // it has not come to that
			default:
			}
			one.sets <- set
		}
	default:
		for i, sh := range f.shards {
			one := &matching{flight: f, event: event, reader: sh.NewWatcher(), sets: make(chan *Triggers, 1), stop: make(chan struct{}), set: set}
			one.checkpoints, one.checkpointing.memory = f.checkpoints[i], &f.checkpointMemory
			one.matcher = set.NewMatcher(one.fire)
			one.done.Add(1)
			go one.run()
			m.all = append(m.all, one)
		}
	}
}

// Triggers returns what is matched; nil for nothing.
func (f *Flight) Triggers() *Triggers {
	f.matchings.mu.Lock()
	defer f.matchings.mu.Unlock()
	return f.matchings.set
}

// end ends the matching for good.
func (m *matchings) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	m.endLocked()
}

// endLocked ends all matchings. What they do when they are told to end is short.
func (m *matchings) endLocked() {
	for _, one := range m.all {
		close(one.stop)
	}
	for _, one := range m.all {
		one.done.Wait()
	}
	m.all = nil
}

// run is the goroutine. Match ends it.
func (m *matching) run() {
	defer m.done.Done()
	defer m.reader.Close()
	defer m.checkpoints.clear()
	defer m.checkpoints.work(false)
	m.checkpoints.work(true)
	defer func() { m.matcher.Stop() }()
	debug.SetPanicOnFault(true) // what is in the spool may be gone; see buffer.FaultError
	ticker := time.NewTicker(matchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.reader.Full():
			m.drain()
		case <-m.checkpoints.wake:
			m.drain()
		case <-ticker.C:
			m.drain()
		case set := <-m.sets:
			m.drain()
			m.matcher = set.Continue(m.matcher, m.fire, m.flight.now())
			m.set = set
		case <-m.stop:
			return
		}
	}
}

// drain matches what has come.
func (m *matching) drain() {
	defer m.reader.Done() // after a panic
	defer func() {
		if p := recover(); p != nil {
			if fault := m.flight.spool.Fault(p); fault != nil {
				m.flight.fail(fault)
				return
			}
			m.flight.store.alert("triggers", newPanicError("matching", fmt.Sprint(p)))
		}
	}()
	for {
		now := m.flight.now()
		b := m.reader.Next()
		if b == nil {
			m.matcher.Tick(now)
			m.restore()
			m.evict()
			return
		}
		if b.IsOutline() {
			m.shed()
		}
		m.match(b)
		m.checkpoints.pass(b.Origin(b.Len()))
		m.reader.Done()
		select {
		case <-m.stop:
			return
		default:
		}
	}
}

// match gives the matcher the entries of a batch.
func (m *matching) match(b *buffer.Batch) {
	var e buffer.Entry
	from := b.Start()
	if b.Joined() {
		from = 0 // for the connection headers
	}
	decodes := m.set.Decodes()
	for at := from; at < b.Len(); {
		next, ok := b.Entry(at, &e)
		if !ok {
			return
		}
		isNew := at >= b.Start()
		if isNew && decodes && (e.Kind == buffer.KindData || e.Kind == buffer.KindGap) {
			m.checkpoint(b, at, &e)
		}
		at = next
		switch {
		case e.Kind == buffer.KindHeader:
			m.open(&e)
		case !isNew:
		case e.Kind == buffer.KindData:
			m.matcher.Data(e.Slot, e.Dir, e.Offset, e.Time, e.Payload)
			if m.since += len(e.Payload); m.since >= matchSlice {
				m.since = 0
				runtime.Gosched()
			}
		case e.Kind == buffer.KindGap:
			m.matcher.Gap(e.Slot, e.Dir, e.Offset, e.Length(), e.Reason, e.Time)
		case e.Kind == buffer.KindClose:
			c := e.CloseEvent()
			m.matcher.Close(e.Slot, c.Reason, c.Totals, e.Time)
			m.endpoints[e.Slot] = nil
		}
	}
}

// open gives the matcher the connection of a header.
func (m *matching) open(e *buffer.Entry) {
	for int(e.Slot) >= len(m.endpoints) {
		m.endpoints = append(m.endpoints, nil)
	}
	if known := m.endpoints[e.Slot]; known != nil && e.Flags&buffer.FlagRepeat != 0 && known.description == string(e.Description()) {
		return
	}
	opened := &endpoint{description: string(e.Description())}
	if _, ok := e.Endpoint(&opened.Endpoint); !ok {
		return
	}
	m.endpoints[e.Slot] = opened
	m.matcher.Open(e.Slot, &opened.Endpoint, e.Base(), e.Time)
	m.checkpointing.open(e.Slot, e.Base(), e.Time)
}

// fire passes an event on.
func (m *matching) fire(e trigger.Event) {
	out := TriggerEvent{Name: m.set.Name(e.Trigger), Time: time.Unix(0, e.Time), Conn: e.Conn}
	if endpoint := m.endpoints[e.Slot]; endpoint != nil {
		out.Listener = endpoint.ListenerName
	}
	if c := e.Call; c != nil {
		out.Call = &record.CauseCall{ID: c.ID, Protocol: c.Protocol, Time: c.Time, Status: c.Status, Failed: c.Failed, LatencyMS: c.LatencyMS}
	}
	m.event(out)
}

// evict drops the checkpoints of what the ring has given up.
func (m *matching) evict() {
	if time.Since(m.looked) < time.Second {
		return
	}
	m.looked = time.Now()
	since, _ := m.reader.Shard().Holds()
	m.checkpoints.evict(since)
}

// shed has the most expensive trigger not matched for a while: the matcher does not keep up
// with the traffic.
func (m *matching) shed() {
	m.late = time.Now()
	if name, ok := m.set.Shed(); ok {
		m.flight.store.alert("triggers", fmt.Errorf("trigger %q is not matched for a while: it needs more processor time than there is for the traffic", name))
	}
}

// restore has a trigger matched again that was shed, when the matcher has kept up.
func (m *matching) restore() {
	if m.late.IsZero() || time.Since(m.late) < restoreAfter {
		return
	}
	m.late = time.Time{}
	if name, ok := m.set.Restore(); ok {
		m.late = time.Now()
		m.flight.store.info("trigger %q is matched again", name)
	}
}
