package http2

import (
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	for st := p.calls.oldest; st != nil; st = st.newer {
		x := st.exchange
		if x == nil {
			x = st.unpacked()
		}
		if !x.ended[record.In] || !x.heads[record.In] || x.pushed || x.heads[record.Out] && !x.interim {
			continue
		}
		seen := stream{id: st.id, exchange: x}
		if p.isSure(&seen, record.Out) {
			each(&x.call)
		}
	}
}

// Held implements parse.Holder.
func (p *parser) Held() int {
	size := p.calls.size + cap(p.calls.scratch)
	for dir := range p.sides {
		d := &p.sides[dir]
		size += d.table.size + len(d.table.entries)*entryOverhead + cap(d.block.data)
	}
	return size
}
