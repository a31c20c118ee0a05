package rpc

import (
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// exchange is a call that is not complete.
type exchange struct {
	Call  call.Call
	Asker record.Direction // of the request
	ID    uint64
	OneWay,
	Asking, // the request is not complete
	Answering, // the answer's head has come
	Answered bool // all of the answer

	Lost     uint64 // gaps of the answers' direction when the request came
	InGap    bool   // its answer was in a gap
	Doubtful bool   // an answer may be another's

	prev, next *exchange // of those that wait
	same       *exchange // the next one that waits with the same number
}

// waiting are the requests of a direction that wait for an answer, in their order.
type waiting struct {
	byID        map[uint64]*exchange
	first, last *exchange
	count       int
	size        int // bytes, roughly
}

const callSize = 700 // bytes that an exchange needs, beside its strings

func (x *exchange) size() int {
	return callSize + len(x.Call.Method) + len(x.Call.Target) + len(x.Call.Service)
}

func (w *waiting) add(x *exchange) {
	if w.byID == nil {
		w.byID = map[uint64]*exchange{}
	}
	if before := w.byID[x.ID]; before == nil {
		w.byID[x.ID] = x
	} else {
		for before.same != nil {
			before = before.same
		}
		before.same = x
	}
	x.prev, x.next = w.last, nil
	if w.last != nil {
		w.last.next = x
	} else {
		w.first = x
	}
	w.last = x
	w.count++
	w.size += x.size()
}

func (w *waiting) remove(x *exchange) {
	if first := w.byID[x.ID]; first == x && x.same == nil {
		delete(w.byID, x.ID)
	} else if first == x {
		w.byID[x.ID] = x.same
	} else {
		for first.same != x {
			first = first.same
		}
		first.same = x.same
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		w.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		w.last = x.prev
	}
	x.prev, x.next, x.same = nil, nil, nil
	w.count--
	w.size -= x.size()
}

// find returns the oldest request with a number, and with the name that its answer says
// where it says one and there is such a request.
func (w *waiting) find(id uint64, method string) *exchange {
	first := w.byID[id]
	if method == "" {
		return first
	}
	for x := first; x != nil; x = x.same {
		if x.Call.Method == method {
			return x
		}
	}
	return first
}
