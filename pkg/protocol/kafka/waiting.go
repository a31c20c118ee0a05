package kafka

import "mosn.io/tcpcopy/pkg/protocol/call"

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	for _, x := range p.queue {
		if x.Call.Request.Ended && !x.Parsing && !x.Answered && !x.OutGap && !x.Unsure {
			each(&x.Call)
		}
	}
}

// Held implements parse.Holder.
func (p *parser) Held() int { return p.size + p.namesSize }
