package redis

import (
	"slices"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// entry is a command that was sent, as long as its answer is to come. It is small,
// because a pipeline may have ten thousand.
type entry struct {
	n       uint64
	method  string
	target  string
	offset  uint64
	length  uint64
	missing uint64
	first   int64  // nanoseconds since 1970; 0 where that is not known
	last    int64  // likewise
	body    uint32 // where the arguments begin, from offset on; 0 if there are none
	count   uint32 // arguments after the name; of a bare entry: commands
	flags   flags
}

// flags says what is special about an entry.
type flags uint16

const (
	unsure     flags = 1 << iota // which answer is the entry's is uncertain
	unfinished                   // the end of the command is not known
	keyless                      // the target is not known, because bytes are missing
	silent                       // it is not answered
	alone                        // no other command has waited when it came
	outGap                       // its answer may have been in a gap
	bare                         // its call was given to the sink: too many commands wait
	resp3                        // HELLO 3
	resp2                        // HELLO 2
	off                          // CLIENT REPLY OFF
	on                           // CLIENT REPLY ON
)

// queue has the commands that are not answered, in their order.
type queue struct {
	entries []entry
	head    int
	size    int // bytes, roughly
}

// entrySize is what an entry needs beside its target.
const entrySize = 96

func (q *queue) len() int { return len(q.entries) - q.head }

// oldest returns the first command; nil if there is none.
func (q *queue) oldest() *entry {
	if q.head == len(q.entries) {
		return nil
	}
	return &q.entries[q.head]
}

func (q *queue) push(e *entry) {
	q.entries = append(q.entries, *e)
	q.size += entrySize + len(e.target)
}

func (q *queue) pop() {
	e := &q.entries[q.head]
	q.size -= entrySize + len(e.target)
	e.target = ""
	q.head++
	switch {
	case q.head == len(q.entries):
		q.entries, q.head = q.entries[:0], 0
		if cap(q.entries) > 1<<10 {
			q.entries = nil
		}
	case q.head > 64 && q.head > len(q.entries)/2:
		q.entries = slices.Delete(q.entries, 0, q.head)
		q.head = 0
	}
}

// waiting has the entries, the first one first.
func (q *queue) waiting() []entry { return q.entries[q.head:] }

// enqueue adds the command that was parsed to those that wait for an answer, or gives it
// to the sink if it has none.
func (p *parser) enqueue(e *entry) {
	if p.doubt.On {
		e.flags |= unsure
	}
	if e.flags&silent != 0 {
		p.unanswered(e, 0, false)
		return
	}
	if p.queue.size+entrySize+len(e.target) > p.memory {
		p.enqueueBare(e)
		return
	}
	if p.queue.len() == 0 {
		e.flags |= alone
	}
	p.queue.push(e)
}

// enqueueBare gives a command to the sink without its answer, whose place in the order
// it keeps. The answer becomes a call of its own.
func (p *parser) enqueueBare(e *entry) {
	p.fillRequest(e)
	p.call.Incomplete |= call.NoAnswer
	p.sink.Call(&p.call)
	special := e.flags &^ (unfinished | keyless | alone)
	if n := len(p.queue.entries); n > p.queue.head {
		last := &p.queue.entries[n-1]
		if last.flags == special|bare && last.method == "" && !isSpecial(e.method) {
			last.count++
			return
		}
	}
	b := entry{flags: special | bare, count: 1}
	if isSpecial(e.method) {
		b.method, b.count = e.method, e.count
	}
	p.queue.push(&b)
}

// isSpecial reports whether the answer to a command changes what answers mean.
func isSpecial(method string) bool {
	switch method {
	case "HELLO", "RESET", "MONITOR", "SYNC", "PSYNC":
		return true
	}
	return subscription(method) >= 0
}

// fillRequest makes p.call the call of a command, without its answer.
func (p *parser) fillRequest(e *entry) {
	c := p.clear(e.n)
	c.Method, c.Target = e.method, e.target
	m := &c.Request
	m.Present = true
	m.Range = call.Range{Offset: e.offset, Length: e.length}
	m.First = p.timeOf(e.first)
	if m.Last = m.First; e.last != e.first {
		m.Last = p.timeOf(e.last)
	}
	m.Missing = e.missing
	m.Ended = e.flags&unfinished == 0
	if e.body > 0 {
		m.HasBody = true
		m.Body = call.Range{Offset: e.offset + uint64(e.body), Length: max(e.length, uint64(e.body)) - uint64(e.body)}
	}
	if e.missing > 0 || e.flags&unsure != 0 {
		c.Incomplete |= call.Gap
	}
	if e.flags&keyless != 0 {
		c.Incomplete |= call.UnknownFields
	}
}

// clear returns p.call without what the last call had in it.
func (p *parser) clear(n uint64) *call.Call {
	c := &p.call
	c.N, c.Protocol = n, call.Redis
	c.Method, c.Target, c.Status, c.Failed, c.Incomplete = "", "", "", false, 0
	c.Request, c.Response = call.Message{}, call.Message{}
	return c
}
