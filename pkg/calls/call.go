package calls

import (
	"strconv"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// Call is a call of a connection in a window.
type Call struct {
	record.Identity
	call.Call

	Of *dump.Connection // the connection, whose State belongs to the station
}

// ID returns the call's identity in its window: "<conn>#<n>".
func (c *Call) ID() string { return c.Conn + "#" + strconv.FormatUint(c.N, 10) }
