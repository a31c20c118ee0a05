package postgresql

import "mosn.io/tcpcopy/pkg/protocol/call"

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	if p.Doubt.On {
		return
	}
	for i := range p.Queue {
		u := &p.Queue[i]
		if u.N != 0 && u.Request.Ended && !u.Response.Present && !u.Answered && !u.Lax && !u.Astray && !u.PassedOver && u.Incomplete&call.Gap == 0 {
			c := u.call()
			each(&c)
		}
	}
}

// Held implements parse.Holder.
func (p *parser) Held() int { return len(p.Queue)*unitMemory + p.Texts + p.parserState.Size }
