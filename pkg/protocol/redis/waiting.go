package redis

import "mosn.io/tcpcopy/pkg/protocol/call"

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	entries := p.queue.waiting()
	if o := &p.out; len(entries) > 0 && (o.confirmed > 0 || o.open && !o.push && !o.noRequest) {
		entries = entries[1:] // it is being answered
	}
	for i := range entries {
		e := &entries[i]
		if e.flags&(bare|unsure|unfinished|silent|outGap) == 0 {
			p.fillRequest(e)
			each(&p.call)
		}
	}
}

// Held implements parse.Holder.
func (p *parser) Held() int { return max(p.queue.size, cap(p.queue.entries)*entrySize) }
