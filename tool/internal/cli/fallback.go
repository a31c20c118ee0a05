package cli

import (
	"fmt"
	"strings"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// explainFallbacks says on standard error which connections have bytes that are not of their protocol; all says why.
func (t *tool) explainFallbacks(c *calls.Coverage, all bool, hint string) {
	n := len(c.Fallbacks)
	if n == 0 {
		return
	}
	most := 5
	if all {
		most = 20
	}
	var named []string
	for i := range c.Fallbacks[:min(most, n)] {
		f := &c.Fallbacks[i]
		if !all {
			named = append(named, fallbackPlace(f))
			continue
		}
		fmt.Fprintf(t.stderr, "tcpcopyctl: %s, window %s, port %s: %s\n", printable(f.Conn), printable(layout.WindowPrefix(f.Window)), printable(f.Port), fallbackReason(f))
	}
	more := n + c.MoreFallbacks - min(most, n)
	switch {
	case !all:
		text := strings.Join(named, ", ")
		if more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		have := "has"
		if n > 1 {
			have = "have"
		}
		fmt.Fprintf(t.stderr, "tcpcopyctl: %s %s bytes that are not of the protocol, which are calls of tcp (%s)%s\n", plural(n+c.MoreFallbacks, "connection"), have, text, hint)
	case more > 0:
		fmt.Fprintf(t.stderr, "tcpcopyctl: and %s more with bytes that are not of the protocol; -o json lists up to 1000 of them\n", plural(more, "connection"))
	}
}

// fallbackPlace returns where a connection is not of its protocol.
func fallbackPlace(f *calls.Fallback) string {
	return fmt.Sprintf("%s not %s at %c %d", printable(f.Conn), f.Protocol, f.Direction.Arrow(), f.Offset)
}

// fallbackReason returns that, and why, without the connection.
func fallbackReason(f *calls.Fallback) string {
	return fmt.Sprintf("not %s at %c %d: %s", f.Protocol, f.Direction.Arrow(), f.Offset, printable(f.Reason))
}
