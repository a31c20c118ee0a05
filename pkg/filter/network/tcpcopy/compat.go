package tcpcopy

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync/atomic"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/record"
)

// Recording reports whether a window is open and not paused.
func (r *recorder) Recording() bool {
	w := r.controller.Open()
	return w != nil && !sessionOf(w).Paused()
}

// Schedule records what code written for the first implementation hands to its work
// pool. Flow bytes come without a connection: they become records of one connection per
// port. It does not keep data.
func (r *recorder) Schedule(data *model.DumpUploadDynamicConfig) {
	defer r.recoverPanic("Schedule")
	r.hand()
	w := r.controller.Open()
	if w == nil {
		return
	}
	if data.PortraitData != "" {
		_, err := sessionOf(w).Portrait(data.BusinessType, data.Port, func() ([]byte, error) {
			if !json.Valid([]byte(data.PortraitData)) {
				return nil, errors.New("the portrait is not JSON")
			}
			return portraitJSON(json.RawMessage(data.PortraitData))
		})
		if err != nil {
			r.refusePortrait(w, data.BusinessType, err)
		}
	}
	if n := len(data.BinaryFlowData); n > 0 && data.Port != "" {
		c := r.poolConn(data.Port)
		before := record.PerDirection{In: c.passed.Load()}
		sessionOf(w).Data(&c.Conn, record.In, before, [][]byte{data.BinaryFlowData}, n)
		c.passed.Add(uint64(n)) // after Data, as in filter.recordWrite
	}
}

// poolConn is the connection of the flow bytes that come through the work pool for a
// port.
type poolConn struct {
	persistence.Conn
	passed atomic.Uint64 // bytes in windows so far
}

// maxPool bounds the ports with a poolConn of their own: a process has few listeners,
// but the caller may name any port.
const maxPool = 1 << 10

// firstPool is the number of the first poolConn. MOSN counts its connections from 1 and
// does not come as far; every reader can hold the number, also one that has floating
// point numbers alone.
const firstPool = 1_000_000_000_000_001

// otherPorts is the port of the poolConn that all further ports share.
const otherPorts = "other"

// poolConn returns the connection for a port.
func (r *recorder) poolConn(port string) *poolConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pool[port] == nil && len(r.pool) >= maxPool {
		port = otherPorts
	}
	c := r.pool[port]
	if c == nil {
		c = &poolConn{}
		c.ID = firstPool + uint64(len(r.pool))
		c.Describe = func() record.Endpoint {
			return record.Endpoint{Identity: record.Identity{
				Conn: r.run + "-" + strconv.FormatUint(c.ID, 10), Port: port, ListenerName: "work pool", Network: "unix", Peer: "@", Listener: "@",
			}}
		}
		r.pool[port] = c
	}
	return c
}
