package strategy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// cgroupFiles is what the two versions of control groups do differently.
type cgroupFiles interface {
	// cpus returns how many processors the group may keep busy; 0 means no limit.
	cpus(root fs.FS, dir string) (float64, error)
	cpuTime(root fs.FS, file string) (time.Duration, error)
	// memUses returns the limits of the group's memory and what is in use of each,
	// without what the kernel can take back at once; none for a group without limits.
	memUses(root fs.FS, dir string) ([]memUse, error)
}

// cgroupV2 reads the unified hierarchy.
type cgroupV2 struct{}

func (cgroupV2) cpus(root fs.FS, dir string) (float64, error) {
	name := path.Join(dir, "cpu.max")
	text, err := optional(root, name)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(text) // quota period, both in microseconds
	if len(fields) == 0 || fields[0] == "max" {
		return 0, nil
	}
	if len(fields) != 2 {
		return 0, fmt.Errorf("%s is %q, not a quota and a period", name, text)
	}
	quota, err := number(name, fields[0])
	if err != nil {
		return 0, err
	}
	period, err := number(name, fields[1])
	if err != nil {
		return 0, err
	}
	return share(quota, period), nil
}

func (cgroupV2) cpuTime(root fs.FS, file string) (time.Duration, error) {
	usec, err := entry(root, file, "usage_usec")
	return time.Duration(usec) * time.Microsecond, err
}

// memUses counts memory.high as a limit too: above it the kernel makes the process
// wait for memory.
func (cgroupV2) memUses(root fs.FS, dir string) ([]memUse, error) {
	var limit uint64
	for _, name := range []string{path.Join(dir, "memory.max"), path.Join(dir, "memory.high")} {
		text, err := optional(root, name)
		if text = strings.TrimSpace(text); err != nil {
			return nil, err
		}
		if text == "" || text == "max" {
			continue
		}
		n, err := number(name, text)
		if err != nil {
			return nil, err
		}
		if n > 0 && (limit == 0 || n < limit) {
			limit = n
		}
	}
	if limit == 0 {
		return nil, nil
	}
	used, err := workingSet(root, dir, "memory.current", "inactive_file")
	if err != nil {
		return nil, err
	}
	return []memUse{{what: "cgroup /" + dir, used: used, limit: limit}}, nil
}

// cgroupV1 reads the hierarchies of the single controllers.
type cgroupV1 struct{}

func (cgroupV1) cpus(root fs.FS, dir string) (float64, error) {
	name := path.Join(dir, "cpu.cfs_quota_us")
	text, err := optional(root, name)
	if text = strings.TrimSpace(text); err != nil || text == "" || strings.HasPrefix(text, "-") {
		return 0, err
	}
	quota, err := number(name, text)
	if err != nil {
		return 0, err
	}
	period, err := file(root, path.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return 0, err
	}
	return share(quota, period), nil
}

func (cgroupV1) cpuTime(root fs.FS, name string) (time.Duration, error) {
	nsec, err := file(root, name)
	return time.Duration(nsec), err
}

// memUses counts memory and swap together as a second limit, which a group may have. The
// limit of a group above counts that a container does not see: the kernel names the
// lowest one.
func (cgroupV1) memUses(root fs.FS, dir string) ([]memUse, error) {
	var uses []memUse
	for _, kind := range [...]struct{ name, what, above string }{
		{"memory.", "", "hierarchical_memory_limit"},
		{"memory.memsw.", ", memory and swap,", "hierarchical_memsw_limit"},
	} {
		name := path.Join(dir, kind.name+"limit_in_bytes")
		text, err := optional(root, name)
		if text = strings.TrimSpace(text); err != nil {
			return nil, err
		}
		if text == "" {
			continue
		}
		limit, err := number(name, text)
		if err != nil {
			return nil, err
		}
		if above, err := entry(root, path.Join(dir, "memory.stat"), kind.above); err == nil && above > 0 {
			limit = min(limit, above)
		}
		if limit == 0 || limit >= 1<<62 { // how version 1 writes "no limit": the largest multiple of a page
			continue
		}
		used, err := workingSet(root, dir, kind.name+"usage_in_bytes", "total_inactive_file")
		if err != nil {
			return nil, err
		}
		uses = append(uses, memUse{what: "cgroup /" + dir + kind.what, used: used, limit: limit})
	}
	return uses, nil
}

// share returns how many processors a quota in a period is; 0 for no limit.
func share(quota, period uint64) float64 {
	if period == 0 {
		return 0
	}
	return float64(quota) / float64(period)
}

// workingSet returns the bytes in use without those of files that were not read
// lately.
func workingSet(root fs.FS, dir, current, inactive string) (uint64, error) {
	used, err := file(root, path.Join(dir, current))
	if err != nil {
		return 0, err
	}
	idle, err := entry(root, path.Join(dir, "memory.stat"), inactive)
	if err != nil {
		return 0, err
	}
	return used - min(used, idle), nil
}

// optional reads a file; one that does not exist reads as empty.
func optional(root fs.FS, name string) (string, error) {
	text, err := fs.ReadFile(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// file reads a file that holds one number.
func file(root fs.FS, name string) (uint64, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	return number(name, strings.TrimSpace(string(text)))
}

// entry reads the number behind key in a file of lines of a key and a number.
func entry(root fs.FS, name, key string) (uint64, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == key {
			return number(name, fields[1])
		}
	}
	return 0, fmt.Errorf("%s has no %s", name, key)
}

// number parses the number that the file name holds.
func number(name, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}
