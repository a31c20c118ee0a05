package calls

import (
	"encoding/json"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Coverage says what the calls are based on, and what could not be known. Seen is what
// could be decoded, Lost and Undecoded together. Its JSON form has the first six fields, and the fallbacks where there are
// some; From and To are null where they are zero.
type Coverage struct {
	Windows   int
	From, To  time.Time // of the windows where the index has them, else of the first and the last record with bytes
	Seen      uint64    // bytes that passed on the connections, both directions
	Lost      uint64    // of these: not recorded
	Undecoded uint64    // of these: recorded, and not decoded

	// Uncertain are the connections with lost or undecoded bytes, the first maxUncertain of
	// them; More is how many others there are.
	Uncertain []Uncertain
	More      int

	// Fallbacks are the connections with bytes that are not of their protocol, which are calls of tcp, the first
	// maxFallbacks of them; MoreFallbacks is how many others there are.
	Fallbacks     []Fallback
	MoreFallbacks int

	// OnlyIndexed are the bytes of Lost and Undecoded that only the index counts: it does not
	// say of which connections they are. Elsewhere are bytes that were lost in these windows
	// and may be of other connections than those that were asked for; Lost is without them.
	OnlyIndexed struct{ Lost, Undecoded uint64 }
	Elsewhere   uint64

	windows map[string]*account // of a sum those that are part of it
	current *account            // of the window of the last call of see
	window  string              // its id
}

// account is what is known of a window.
type account struct {
	seen, lost, undecoded uint64
	from, to              time.Time
}

// Uncertain is a connection of which not all is known.
type Uncertain struct {
	Window, Conn, Port string
	Protocol           string
	Lost, Undecoded    uint64
}

// Fallback is the first place of a connection where its bytes are not of its protocol: see protocol.FallbackSink.
type Fallback struct {
	Window, Conn, Port string
	Protocol           string // that they are not of
	Direction          record.Direction
	Offset             uint64 // of the first byte that is not of it, in its direction
	Reason             string // what is wrong with it; it may quote bytes of the connection
}

// MarshalJSON implements json.Marshaler.
func (f Fallback) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Window    string `json:"window"`
		Conn      string `json:"conn"`
		Port      string `json:"port"`
		Protocol  string `json:"protocol"`
		Direction string `json:"direction"`
		Offset    uint64 `json:"offset"`
		Reason    string `json:"reason"`
	}{f.Window, f.Conn, f.Port, f.Protocol, f.Direction.String(), f.Offset, f.Reason})
}

const (
	maxUncertain = 1000
	maxFallbacks = 1000
)

// MarshalJSON implements json.Marshaler.
func (c Coverage) MarshalJSON() ([]byte, error) {
	known := func(at time.Time) *time.Time {
		if at.IsZero() {
			return nil
		}
		at = at.UTC()
		return &at
	}
	return json.Marshal(struct {
		Windows   int        `json:"windows"`
		From      *time.Time `json:"from"`
		To        *time.Time `json:"to"`
		Seen      uint64     `json:"seen"`
		Lost      uint64     `json:"lost"`
		Undecoded uint64     `json:"undecoded"`

		Fallbacks     []Fallback `json:"fallbacks,omitempty"`
		MoreFallbacks int        `json:"more_fallbacks,omitempty"`
	}{c.Windows, known(c.From), known(c.To), c.Seen, c.Lost, c.Undecoded, c.Fallbacks, c.MoreFallbacks})
}

func (a *account) see(at time.Time) {
	if a.from.IsZero() || at.Before(a.from) {
		a.from = at
	}
	if at.After(a.to) {
		a.to = at
	}
}

func (c *Coverage) account(window string) *account {
	a := c.windows[window]
	if a == nil {
		a = &account{}
		c.windows[window] = a
	}
	return a
}

// see counts a time at which bytes passed in a window.
func (c *Coverage) see(window string, at time.Time) {
	if c.current == nil || c.window != window {
		c.current, c.window = c.account(window), window
	}
	c.current.see(at)
}

// add adds a connection that has ended.
func (c *Coverage) add(o *connection) {
	undecoded := o.skipped
	name := o.decoder.Protocol()
	if name == call.TLS {
		undecoded = o.bytes
	}
	a := c.account(o.of.Window)
	a.seen += o.bytes + o.gaps
	a.lost += o.gaps
	a.undecoded += undecoded
	if f := o.fallback; f.Protocol != "" {
		if len(c.Fallbacks) == maxFallbacks {
			c.MoreFallbacks++
		} else {
			f.Window, f.Conn, f.Port = o.of.Window, o.of.Conn, o.of.Port
			c.Fallbacks = append(c.Fallbacks, f)
		}
	}
	if o.gaps == 0 && undecoded == 0 {
		return
	}
	if len(c.Uncertain) == maxUncertain {
		c.More++
		return
	}
	c.Uncertain = append(c.Uncertain, Uncertain{o.of.Window, o.of.Conn, o.of.Port, name, o.gaps, undecoded})
}

// sum returns the coverage of the windows that were open from since on and before until.
func (c *Coverage) sum(since, until time.Time) Coverage {
	sum := Coverage{More: c.More, MoreFallbacks: c.MoreFallbacks, windows: map[string]*account{}}
	for window, a := range c.windows {
		if within(a.from, a.to, since, until) {
			of := *a
			sum.windows[window] = &of
		}
	}
	for _, u := range c.Uncertain {
		if sum.windows[u.Window] != nil {
			sum.Uncertain = append(sum.Uncertain, u)
		}
	}
	for _, f := range c.Fallbacks {
		if sum.windows[f.Window] != nil {
			sum.Fallbacks = append(sum.Fallbacks, f)
		}
	}
	sum.total()
	return sum
}

// total sums the windows up.
func (c *Coverage) total() {
	c.Windows, c.Seen, c.Lost, c.Undecoded = len(c.windows), 0, 0, 0
	var all account
	for _, a := range c.windows {
		c.Seen, c.Lost, c.Undecoded = c.Seen+a.seen, c.Lost+a.lost, c.Undecoded+a.undecoded
		if !a.from.IsZero() {
			all.see(a.from)
			all.see(a.to)
		}
	}
	c.From, c.To = all.from, all.to
}

// Indexed is what the index says of a window.
type Indexed struct {
	Window         string
	Opened, Closed time.Time
	Seen, Lost     uint64 // bytes of both directions

	// Part says that the calls are of some of its connections only.
	Part bool
}

// AddIndexed adds what the index says of windows: losses that no record mentions, and bytes
// that are in none of the records that were read. Call it once for a window.
func (c *Coverage) AddIndexed(windows ...Indexed) {
	if c.windows == nil {
		c.windows = map[string]*account{}
	}
	for _, w := range windows {
		a := c.account(w.Window)
		a.from, a.to = w.Opened, w.Closed
		if w.Part {
			c.Elsewhere += w.Lost - min(a.lost, w.Lost)
			continue
		}
		decoded := a.seen - a.lost - a.undecoded
		lost := max(a.lost, w.Lost)
		seen := max(w.Seen, decoded+a.undecoded+lost)
		undecoded := seen - lost - decoded
		c.OnlyIndexed.Lost += lost - a.lost
		c.OnlyIndexed.Undecoded += undecoded - a.undecoded
		a.seen, a.lost, a.undecoded = seen, lost, undecoded
	}
	c.total()
}
