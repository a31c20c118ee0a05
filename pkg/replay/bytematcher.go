package replay

import (
	"bytes"
	"time"
)

// requestHead is how much of a request is kept to name it by.
const requestHead = 256

// byteMatcher pairs answers of which only the bytes are known: those between two
// sends are a turn's.
type byteMatcher struct {
	matchOptions
	sink  func(*pair)
	open  []*byteTurn // not paired yet, oldest first; the last one is the current
	spare *byteTurn
	next  int // number of the next turn
}

// byteTurn is a turn that waits for the rest of its answers.
type byteTurn struct {
	pair
	due        uint64           // bytes of want that the recorded client had received so far
	sentAt     [2]time.Duration // when the last of the request passed
	answeredAt [2]time.Duration // when the last of the answer came
	same       uint64           // bytes of got that are equal to want's and not kept
	diverged   bool             // got has bytes of its own
}

func newByteMatcher(o matchOptions, sink func(*pair)) *byteMatcher {
	return &byteMatcher{matchOptions: o, sink: sink}
}

// current returns the turn under way. Bytes that come before any request are an
// answer to the connection itself.
func (m *byteMatcher) current() *byteTurn {
	if len(m.open) == 0 {
		m.begin(0)
	}
	return m.open[len(m.open)-1]
}

func (m *byteMatcher) begin(number int) *byteTurn {
	t := m.spare
	m.spare = nil
	if t == nil {
		t = &byteTurn{}
	}
	*t = byteTurn{pair: pair{turn: number, request: t.request[:0]}}
	m.open = append(m.open, t)
	m.next = number + 1
	return t
}

func (m *byteMatcher) request(data []byte, then, now time.Duration) {
	var t *byteTurn
	if n := len(m.open); n > 0 {
		t = m.open[n-1]
	}
	if t == nil || t.turn == 0 || t.due > 0 {
		m.carryOver()
		if t != nil && t.complete() && !t.early() {
			m.close(len(m.open) - 1)
		}
		m.bound()
		t = m.begin(max(m.next, 1))
	}
	t.sentAt = [2]time.Duration{then, now}
	t.request = append(t.request, data[:min(len(data), requestHead-len(t.request))]...)
}

// expect adds data that was recorded as the answer of the current turn, before any
// of it counts as received: a server may answer before it has the whole request. If
// lasting, data is valid for as long as the matcher, which may keep it; other data
// it does not keep.
func (m *byteMatcher) expect(data []byte, lasting bool, at time.Duration) {
	t := m.current()
	if lasting {
		t.want.borrow(data, m.limit)
	} else {
		t.want.add(data, m.limit)
	}
	t.answeredAt[recorded] = at
}

// expectGap is expect for n bytes that were not recorded.
func (m *byteMatcher) expectGap(n int, at time.Duration) {
	t := m.current()
	t.want.length += uint64(n)
	t.answeredAt[recorded] = at
}

// receive counts n more of the expected bytes as received by the recorded client.
func (m *byteMatcher) receive(n int) { m.current().due += uint64(n) }

func (m *byteMatcher) answer(side int, data []byte, at time.Duration) {
	if side == recorded {
		m.receive(len(data))
		return
	}
	m.carryOver()
	for len(data) > 0 {
		i := m.whose(data)
		t, n := m.open[i], len(data)
		if i < len(m.open)-1 {
			n = int(min(uint64(n), t.want.length-t.got.length))
		}
		t.append(data[:n], m.limit, m.blind)
		t.answeredAt[replayed] = at
		data = data[n:]
		if i < len(m.open)-1 && t.complete() {
			m.close(i)
		}
	}
}

// early reports whether t has all that was recorded, and more bytes, which may
// answer the next requests already: those of a client that does not wait for one
// answer before it sends the next request.
func (t *byteTurn) early() bool {
	return t.same == t.want.length && t.got.length > t.want.length && t.got.whole()
}

// carryOver gives bytes that came early to the turn that they answer, once the
// recording shows which one that is.
func (m *byteMatcher) carryOver() {
	last := len(m.open) - 1
	if last < 1 || m.open[last].want.length == 0 {
		return
	}
	t, before := m.open[last], m.open[last-1]
	if !before.early() {
		return
	}
	bytes := before.got.head[before.same:]
	fits := t.got.length == 0 && t.expects(bytes)
	if fits {
		before.diverged = false
		before.got = answer{length: before.same}
	}
	m.close(last - 1)
	if fits {
		t.append(bytes, m.limit, m.blind)
		t.answeredAt[replayed] = before.answeredAt[replayed]
	}
}

// whose returns the index of the open turn that data answers. That is the current
// one, unless bytes of an earlier one are still missing, and these may be them.
func (m *byteMatcher) whose(data []byte) int {
	m.current()
	last := len(m.open) - 1
	oldest := -1
	for i, t := range m.open[:last] {
		if t.complete() {
			continue
		}
		if t.expects(data) {
			return i
		}
		if oldest < 0 {
			oldest = i
		}
	}
	// A replay that waits for answers has given the earlier turns up.
	if oldest < 0 || m.turns || m.open[last].expects(data) {
		return last
	}
	return oldest
}

// expects reports whether data is what t's answer goes on with.
func (t *byteTurn) expects(data []byte) bool {
	if t.got.length >= uint64(len(t.want.head)) {
		return false
	}
	rest := t.want.head[t.got.length:]
	n := min(len(rest), len(data))
	return bytes.Equal(rest[:n], data[:n])
}

func (t *byteTurn) complete() bool { return t.got.length >= t.want.length }

// append adds to the replayed answer. Bytes that are equal to the recorded ones are
// counted, not kept.
func (t *byteTurn) append(data []byte, limit int, blind bool) {
	if blind {
		t.got.length += uint64(len(data))
		return
	}
	if !t.diverged {
		n := 0
		if t.got.length < uint64(len(t.want.head)) {
			rest := t.want.head[t.got.length:]
			n = min(len(rest), len(data))
			if !bytes.Equal(rest[:n], data[:n]) {
				n = firstDifference(rest[:n], data[:n])
			}
		}
		t.same += uint64(n)
		t.got.length += uint64(n)
		data = data[n:]
		if len(data) == 0 {
			return
		}
		if t.got.length >= uint64(limit) && t.want.length > uint64(limit) {
			t.got.length += uint64(len(data))
			t.got.digest(data)
			return
		}
		t.diverged = true
		t.got.head = bytes.Clone(t.want.head[:t.same])
	}
	t.got.add(data, limit)
}

// firstDifference returns where a and b, of the same length, begin to differ, or
// their length.
func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// close pairs the open turn i.
func (m *byteMatcher) close(i int) {
	t := m.open[i]
	copy(m.open[i:], m.open[i+1:])
	m.open[len(m.open)-1] = nil
	m.open = m.open[:len(m.open)-1]

	p := &t.pair
	switch {
	case m.blind:
		p.same = true
	case !t.diverged && t.got.length == t.want.length && bytes.Equal(t.got.sum(), t.want.sum()):
		p.same = true
	case !t.diverged:
		t.got.head = bytes.Clone(t.want.head[:t.same])
	}
	if t.turn > 0 && t.want.length > 0 && t.got.length >= t.want.length {
		p.then, p.now = t.answeredAt[recorded]-t.sentAt[recorded], t.answeredAt[replayed]-t.sentAt[replayed]
		p.timed = p.now >= 0
	}
	if t.turn > 0 || t.want.length > 0 || t.got.length > 0 {
		m.sink(p)
	}
	t.want, t.got = answer{}, answer{}
	m.spare = t
}

// bound pairs the oldest turns of a replay that waits for too many.
func (m *byteMatcher) bound() {
	kept := 0
	for _, t := range m.open {
		kept += len(t.want.head) + len(t.got.head)
	}
	for len(m.open) > 1 && (len(m.open) > maxOpenTurns || kept > maxOpenBytes) {
		kept -= len(m.open[0].want.head) + len(m.open[0].got.head)
		m.close(0)
	}
}

func (m *byteMatcher) end(int, time.Duration) {}

func (m *byteMatcher) maySend() bool { return true }

func (m *byteMatcher) fault() error { return nil }

func (m *byteMatcher) progress() progress {
	m.carryOver()
	if len(m.open) == 0 {
		return caughtUp
	}
	t := m.open[len(m.open)-1]
	longer := t.got.length > t.want.length && t.due == t.want.length && t.same < t.want.length
	switch {
	case t.got.length >= t.due && !longer:
		return caughtUp
	case t.diverged && t.endsAlike():
		return likelyComplete
	case longer:
		return surplus
	case t.diverged:
		return different
	default:
		return incomplete
	}
}

// endsAlike reports whether both answers have the end of a line at their ends.
func (t *byteTurn) endsAlike() bool {
	return t.want.whole() && t.got.whole() && bytes.HasSuffix(t.want.head, []byte("\n")) && bytes.HasSuffix(t.got.head, []byte("\n"))
}

func (m *byteMatcher) recordedLatency() time.Duration {
	if len(m.open) == 0 {
		return 0
	}
	t := m.open[len(m.open)-1]
	return t.answeredAt[recorded] - t.sentAt[recorded]
}

// giveUp leaves the turn open: its answer may still come, late.
func (m *byteMatcher) giveUp() {}

func (m *byteMatcher) finish() {
	m.carryOver()
	for len(m.open) > 0 {
		m.open[0].open = len(m.open) == 1 && m.cutOff
		m.close(0)
	}
}
