package strategy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Meter reads how busy the machine is. A Controller never has two readings under
// way at a time.
type Meter interface {
	// Read may take its time but returns soon after ctx is done. A rate needs
	// two samples: the first of a series returns ErrNoReading.
	Read(ctx context.Context) (Reading, error)
}

// ErrNoReading says that a Meter has only begun to measure: ask again soon.
var ErrNoReading = errors.New("first reading, no rate yet")

// Reading is how much of the machine, or of the share that a container may have
// of it, is in use.
type Reading struct {
	CPU, Mem             float64 // percent
	CPUSource, MemSource string  // whose the rates are: "host" or "cgroup"
}

// maxSpan is the longest time that a CPU rate is taken over. A reading that comes
// later than this after the one before begins a new series.
const maxSpan = 10 * time.Second

// SystemMeter returns a new Meter that reads this machine and, in a container
// with limits, what is used of them; of each rate the higher counts. It measures
// from one Read to the next and never waits in between.
func SystemMeter() Meter {
	return &systemMeter{
		now:    time.Now,
		host:   newHost(),
		groups: &cgroups{root: os.DirFS("/")},
	}
}

// systemMeter is not safe for concurrent use, as Meter allows.
type systemMeter struct {
	now    func() time.Time
	host   *host
	groups *cgroups
	last   time.Time // of the reading before; zero when there is none to measure from
}

func (m *systemMeter) Read(ctx context.Context) (Reading, error) {
	now := m.now()
	span := now.Sub(m.last)
	first := m.last.IsZero() || span < 0 || span > maxSpan
	m.last = time.Time{} // a reading that fails ends the series
	if first {
		m.host.reset()
		if err := m.groups.find(); err != nil {
			return Reading{}, fmt.Errorf("find cgroup: %w", err)
		}
	}
	r, err := m.host.read(ctx)
	if err != nil && !errors.Is(err, ErrNoReading) {
		return Reading{}, fmt.Errorf("read host: %w", err)
	}
	share, groupErr := m.groups.read(now)
	if groupErr != nil {
		return Reading{}, fmt.Errorf("read cgroup: %w", groupErr)
	}
	m.last = now
	if err != nil {
		return Reading{}, err
	}
	if share.CPU > r.CPU {
		r.CPU, r.CPUSource = share.CPU, share.CPUSource
	}
	if share.Mem > r.Mem {
		r.Mem, r.MemSource = share.Mem, share.MemSource
	}
	return r, nil
}
