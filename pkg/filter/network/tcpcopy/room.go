package tcpcopy

import (
	"math"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// machineRoom returns the Room of this machine up to a rate of memory in percent.
func machineRoom(maxRate float64) persistence.Room {
	memory := strategy.NewMemoryRoom()
	return func() (bytes int64, limit string, err error) { return memory.Read(maxRate) }
}

// room returns how much memory w may use; nil is for what is done whatever the load. With
// the guard off only the limits themselves count, at which the kernel kills.
func (r *recorder) room(w *record.Window) persistence.Room {
	if r.host.room == nil {
		return nil
	}
	rate := 100.0
	if w != nil && !w.Unguarded {
		rate = r.controller.MemMaxRate()
	}
	room := r.host.room(rate)
	if rate < 100 {
		return room
	}
	warned := false
	return func() (int64, string, error) {
		bytes, limit, err := room()
		if err != nil { // nobody wants the guard, so a limit that cannot be read is none
			bytes, limit = math.MaxInt64, ""
			if !warned {
				warned = true
				r.host.log.Warnf("the memory limits cannot be read, so they are not looked at: %v", err)
			}
		}
		return bytes, limit, nil
	}
}
