package rpc

import (
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	for x := p.waiting[record.In].first; x != nil; x = x.next {
		if x.Call.Request.Ended && !p.mayBeLost(x) {
			each(&x.Call)
		}
	}
}

// Held implements parse.Holder.
func (p *parser) Held() int {
	return p.waiting[record.In].size + p.waiting[record.Out].size + len(p.free)*callSize
}
