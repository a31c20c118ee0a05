package strategy

import (
	"context"
	"errors"
	"math"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/mem"
)

const sourceHost = "host"

// host reads the whole machine.
type host struct {
	times  func(context.Context) (cpu.TimesStat, error) // of all processors together, since boot
	memory func(context.Context) (percent float64, err error)

	last *cpu.TimesStat // what the next rate is measured from; nil before the first
}

func newHost() *host {
	return &host{
		times: func(ctx context.Context) (cpu.TimesStat, error) {
			all, err := cpu.TimesWithContext(ctx, false)
			if err != nil {
				return cpu.TimesStat{}, err
			}
			if len(all) == 0 {
				return cpu.TimesStat{}, errors.New("no processor times")
			}
			return all[0], nil
		},
		memory: func(ctx context.Context) (float64, error) {
			m, err := mem.VirtualMemoryWithContext(ctx)
			if err != nil {
				return 0, err
			}
			return m.UsedPercent, nil
		},
	}
}

// reset forgets what the next rate would be measured from.
func (h *host) reset() { h.last = nil }

// read returns ErrNoReading when there was nothing to measure from, or when no
// tick of the processors' clock lies between.
func (h *host) read(ctx context.Context) (Reading, error) {
	now, err := h.times(ctx)
	if err != nil {
		return Reading{}, err
	}
	used, err := h.memory(ctx)
	if err != nil {
		return Reading{}, err
	}
	if h.last == nil {
		h.last = &now
		return Reading{}, ErrNoReading
	}
	busy, idle := spent(now)
	busyBefore, idleBefore := spent(*h.last)
	busy, idle = busy-busyBefore, idle-idleBefore
	if busy+idle <= 0 {
		return Reading{}, ErrNoReading
	}
	h.last = &now
	// The kernel's idle time may run backwards by a tick.
	rate := math.Min(100, math.Max(0, 100*busy/(busy+idle)))
	return Reading{CPU: rate, CPUSource: sourceHost, Mem: used, MemSource: sourceHost}, nil
}

// spent sums up the seconds in which processors were busy and idle. Time that the
// hypervisor took (steal) was not to be had and is busy; time of guests is part
// of user time already.
func spent(t cpu.TimesStat) (busy, idle float64) {
	return t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal, t.Idle + t.Iowait
}
