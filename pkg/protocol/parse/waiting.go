package parse

import "mosn.io/tcpcopy/pkg/protocol/call"

// Waiter is a Parser that can say which calls wait for an answer.
type Waiter interface {
	// Waiting calls each with every call whose request has ended and of whose final answer
	// nothing has come, in the order of the requests. Those whose answer may not have been
	// recorded are left out. The call is the parser's and valid until each returns.
	Waiting(each func(*call.Call))
}

// Holder is a Parser whose state may grow.
type Holder interface {
	// Held returns roughly how many bytes its state has, without what waits in the streams.
	Held() int
}

// Waiting is that of the parser.
func (r *Runner) Waiting(each func(*call.Call)) {
	if p, ok := r.parser.(Waiter); ok {
		p.Waiting(each)
	}
}

// Size returns roughly how many bytes the parser and its streams have in memory.
func (r *Runner) Size() int {
	size := 0
	for i := range r.streams {
		s := &r.streams[i]
		size += cap(s.pending) + len(s.marks)*markSize
	}
	if p, ok := r.parser.(Holder); ok {
		size += p.Held()
	}
	return size
}

const markSize = 40 // of a mark, in bytes
