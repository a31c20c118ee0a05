package http1

import "mosn.io/tcpcopy/pkg/protocol/call"

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	for _, x := range p.open {
		if x.Call.Request.Ended && !x.Begun && !x.Lost {
			each(&x.Call)
		}
	}
}

// Held implements parse.Holder.
func (p *parser) Held() int { return p.size }
