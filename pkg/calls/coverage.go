package calls

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// Coverage says what the calls are based on, and what could not be known.
type Coverage struct {
	Windows   int       `json:"windows"`
	From      time.Time `json:"from"` // of the first record with bytes
	To        time.Time `json:"to"`   // of the last one
	Seen      uint64    `json:"seen"` // bytes that passed on the connections, both directions
	Lost      uint64    `json:"lost"` // of these: not recorded
	Undecoded uint64    `json:"undecoded"`

	// Uncertain are the connections with lost or undecoded bytes, the first maxUncertain of
	// them; More is how many others there are.
	Uncertain []Uncertain `json:"-"`
	More      int         `json:"-"`
}

// Uncertain is a connection of which not all is known.
type Uncertain struct {
	Window, Conn, Port string
	Protocol           string
	Lost, Undecoded    uint64
}

const maxUncertain = 1000

func (c *Coverage) see(at time.Time) {
	if c.From.IsZero() || at.Before(c.From) {
		c.From = at
	}
	if at.After(c.To) {
		c.To = at
	}
}

// add adds a connection that has ended.
func (c *Coverage) add(o *connection) {
	undecoded := o.skipped
	name := o.decoder.Protocol()
	if name == call.TLS {
		undecoded = o.bytes
	}
	c.Seen += o.bytes + o.gaps
	c.Lost += o.gaps
	c.Undecoded += undecoded
	if o.gaps == 0 && undecoded == 0 {
		return
	}
	if len(c.Uncertain) == maxUncertain {
		c.More++
		return
	}
	c.Uncertain = append(c.Uncertain, Uncertain{o.of.Window, o.of.Conn, o.of.Port, name, o.gaps, undecoded})
}
