package cli

import (
	"fmt"
	"strings"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// explainFallbacks says on standard error which connections turned out not to speak their protocol; all says why.
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
		is := "is"
		if n > 1 {
			is = "are"
		}
		fmt.Fprintf(t.stderr, "tcpcopyctl: %s %s tcp from a byte on that is not of the protocol (%s)%s\n", plural(n+c.MoreFallbacks, "connection"), is, text, hint)
	case more > 0:
		fmt.Fprintf(t.stderr, "tcpcopyctl: and %s more that turned out not to speak the protocol; -o json lists up to 1000 of them\n", plural(more, "connection"))
	}
}

// fallbackPlace returns where a connection is not of its protocol any more.
func fallbackPlace(f *calls.Fallback) string {
	return fmt.Sprintf("%s not %s from %c %d", printable(f.Conn), f.Protocol, f.Direction.Arrow(), f.Offset)
}

// fallbackReason returns that, and why, without the connection.
func fallbackReason(f *calls.Fallback) string {
	return fmt.Sprintf("not %s from %c %d on, so that it is tcp: %s", f.Protocol, f.Direction.Arrow(), f.Offset, printable(f.Reason))
}
