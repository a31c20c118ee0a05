package strategy

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"strings"
)

// MemoryRoom says how much more memory this process may use, before it uses it. It
// reads the same groups as the guard, and the host, in the same way: file pages that
// the kernel can take back at once are not in use, and shared memory is.
//
// It is not safe for concurrent use.
type MemoryRoom struct {
	root   fs.FS // of the machine's files, "/"
	groups *cgroups
}

// NewMemoryRoom returns a MemoryRoom for this process. It looks the process's groups up
// at its first reading.
func NewMemoryRoom() *MemoryRoom { return newMemoryRoom(os.DirFS("/")) }

func newMemoryRoom(root fs.FS) *MemoryRoom { return &MemoryRoom{root: root} }

// At the limit itself the kernel kills, whatever mem_max_rate says. The process needs
// some of what is left for what it does beside the recording.
const (
	minMargin   = 8 << 20 // bytes
	marginShare = 32      // of the limit; the larger of the two counts
)

// Read returns how many bytes can be taken while the memory in use stays below maxRate
// percent of each limit, and a margin below the limit itself; 0 where there is no room.
// Why names the limit that leaves the least. A maxRate of 100 asks for the margin only.
func (m *MemoryRoom) Read(maxRate float64) (bytes int64, why string, err error) {
	if m.groups == nil {
		groups := &cgroups{root: m.root}
		if err := groups.find(); err != nil {
			return 0, "", fmt.Errorf("find cgroup: %w", err)
		}
		m.groups = groups
	}
	bytes = math.MaxInt64
	consider := func(u memUse) {
		left, limit := u.room(maxRate)
		if left < bytes {
			bytes, why = left, limit
		}
	}
	uses, err := hostMemory(m.root)
	if err != nil {
		return 0, "", fmt.Errorf("read host: %w", err)
	}
	for _, u := range uses {
		consider(u)
	}
	for _, g := range m.groups.mem {
		uses, err := g.files.memUses(m.root, g.dir)
		if err != nil {
			return 0, "", fmt.Errorf("read cgroup: %w", err)
		}
		for _, u := range uses {
			consider(u)
		}
	}
	return bytes, why, nil
}

// MemMaxRate returns the limit that a window's memory has to stay below, in percent: that
// of the configuration in force, 100 where the guard is off.
func (c *Controller) MemMaxRate() float64 { return c.status.Load().memMaxRate }

// memUse is how much of one limit is in use, bytes.
type memUse struct {
	what        string // whose limit it is, for people
	used, limit uint64
}

// rate returns what is in use in percent of the limit.
func (u memUse) rate() float64 { return 100 * float64(u.used) / float64(u.limit) }

// room returns how many bytes are left below maxRate percent and below the margin, and
// which of the two leaves less.
func (u memUse) room(maxRate float64) (bytes int64, why string) {
	end, by := float64(u.limit)-max(minMargin, float64(u.limit)/marginShare), "less a margin"
	if rated := float64(u.limit) * maxRate / 100; rated < end {
		end, by = rated, fmt.Sprintf("of which mem_max_rate allows %g %%", maxRate)
	}
	return int64(max(0, end-float64(u.used))), fmt.Sprintf("%s has %.1f MiB in use of %.1f MiB, %s", u.what, mebibytes(u.used), mebibytes(u.limit), by)
}

func mebibytes(n uint64) float64 { return float64(n) / (1 << 20) }

// hostMemory reads the machine's memory, and where the kernel promises no more memory
// than it has, what it may still promise.
func hostMemory(root fs.FS) ([]memUse, error) {
	const meminfo = "proc/meminfo"
	text, err := optional(root, meminfo)
	if err != nil || text == "" {
		return nil, err
	}
	kib := map[string]uint64{}
	for _, line := range strings.Split(text, "\n") {
		// MemTotal:       24683652 kB
		name, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); len(fields) == 2 && fields[1] == "kB" {
			if kib[name], err = number(meminfo, fields[0]); err != nil {
				return nil, err
			}
		}
	}
	total, free := kib["MemTotal"], kib["MemAvailable"]
	if _, known := kib["MemAvailable"]; !known { // before Linux 3.14
		cached := kib["Cached"]
		free = kib["MemFree"] + kib["Buffers"] + cached - min(cached, kib["Shmem"])
	}
	var uses []memUse
	if total > 0 {
		uses = append(uses, memUse{what: sourceHost, used: (total - min(total, free)) << 10, limit: total << 10})
	}
	mode, err := optional(root, "proc/sys/vm/overcommit_memory")
	if err != nil {
		return nil, err
	}
	if limit := kib["CommitLimit"]; limit > 0 && strings.TrimSpace(mode) == "2" {
		uses = append(uses, memUse{what: "host's commit limit", used: kib["Committed_AS"] << 10, limit: limit << 10})
	}
	return uses, nil
}
