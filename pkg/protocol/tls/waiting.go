package tls

import "mosn.io/tcpcopy/pkg/protocol/call"

// Waiting implements parse.Waiter.
func (p *parser) Waiting(each func(*call.Call)) {
	if c := &p.state.Call; p.state.Open && !p.state.Unknown && c.Request.Ended && c.Response.First.IsZero() {
		each(c)
	}
}
