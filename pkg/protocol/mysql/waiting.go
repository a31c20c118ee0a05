package mysql

import "mosn.io/tcpcopy/pkg/protocol/call"

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	if p.Doubt > 0 {
		return
	}
	for i := range p.Queue {
		if u := &p.Queue[i]; u.N != 0 && u.Request.Ended && !u.Response.Present && !u.Lax && u.Incomplete&call.Gap == 0 {
			c := u.call()
			each(&c)
		}
	}
}

// parserSize is what a parser has more than those of other protocols, in bytes.
const parserSize = 1 << 10

// Held implements parse.Holder.
func (p *parser) Held() int {
	return parserSize + len(p.Queue)*unitMemory + p.Texts + p.parserState.Size
}
