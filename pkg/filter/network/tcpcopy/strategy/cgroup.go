package strategy

import (
	"io/fs"
	"path"
	"strings"
	"time"
)

const sourceCgroup = "cgroup"

// cgroups reads what this process's control groups use of their limits. A limit
// may be set at each level from the process's own group up to the root of the
// hierarchy that the container sees, so each level with a limit is measured
// against it, and the highest rate counts.
type cgroups struct {
	root fs.FS // of the machine's files, "/"

	cpu []*cpuGroup // set by find
	mem []memGroup
}

// cpuGroup is one level with its processor time.
type cpuGroup struct {
	files cgroupFiles
	dir   string // has the limit
	usage string // file of the time used; v1 may have it in another hierarchy

	last   time.Duration // processor time used at the reading before
	lastAt time.Time     // zero when there was none, or no limit then
}

// memGroup is one level with its memory.
type memGroup struct {
	files cgroupFiles
	dir   string
}

// find looks up the groups of this process. A machine without control groups has
// none, which is no error.
func (g *cgroups) find() error {
	g.cpu, g.mem = nil, nil
	paths, err := g.paths()
	if err != nil {
		return err
	}
	mounts, err := g.mounts()
	if err != nil {
		return err
	}
	if m, ok := mounts[""]; ok {
		for _, dir := range m.levels(paths[""]) {
			dir = path.Join(m.point, dir)
			g.cpu = append(g.cpu, &cpuGroup{files: cgroupV2{}, dir: dir, usage: path.Join(dir, "cpu.stat")})
			g.mem = append(g.mem, memGroup{files: cgroupV2{}, dir: dir})
		}
	}
	if m, ok := mounts["cpu"]; ok {
		account := mounts["cpuacct"]
		for _, dir := range m.levels(paths["cpu"]) {
			g.cpu = append(g.cpu, &cpuGroup{
				files: cgroupV1{},
				dir:   path.Join(m.point, dir),
				usage: path.Join(account.point, dir, "cpuacct.usage"),
			})
		}
	}
	if m, ok := mounts["memory"]; ok {
		for _, dir := range m.levels(paths["memory"]) {
			g.mem = append(g.mem, memGroup{files: cgroupV1{}, dir: path.Join(m.point, dir)})
		}
	}
	return nil
}

// read returns the highest rates of all levels; a source is empty where no level
// has a limit, or none that was there at the reading before.
func (g *cgroups) read(now time.Time) (Reading, error) {
	var r Reading
	for _, group := range g.cpu {
		rate, ok, err := group.read(g.root, now)
		if err != nil {
			return Reading{}, err
		}
		if ok && rate >= r.CPU {
			r.CPU, r.CPUSource = rate, sourceCgroup
		}
	}
	for _, group := range g.mem {
		rate, ok, err := group.read(g.root)
		if err != nil {
			return Reading{}, err
		}
		if ok && rate >= r.Mem {
			r.Mem, r.MemSource = rate, sourceCgroup
		}
	}
	return r, nil
}

func (c *cpuGroup) read(root fs.FS, now time.Time) (percent float64, ok bool, err error) {
	cpus, err := c.files.cpus(root, c.dir)
	if err != nil || cpus == 0 {
		c.lastAt = time.Time{}
		return 0, false, err
	}
	used, err := c.files.cpuTime(root, c.usage)
	if err != nil {
		return 0, false, err
	}
	before, at := c.last, c.lastAt
	c.last, c.lastAt = used, now
	if at.IsZero() || !now.After(at) {
		return 0, false, nil
	}
	return 100 * float64(used-before) / (cpus * float64(now.Sub(at))), true, nil
}

// read returns the highest rate of the group's limits.
func (m memGroup) read(root fs.FS) (percent float64, ok bool, err error) {
	uses, err := m.files.memUses(root, m.dir)
	for _, u := range uses {
		percent, ok = max(percent, u.rate()), true
	}
	return percent, ok, err
}

// paths reads which group the process is in, by controller; "" is version 2's.
func (g *cgroups) paths() (map[string]string, error) {
	text, err := optional(g.root, "proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		// hierarchy:controller,controller:path
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, controller := range strings.Split(fields[1], ",") {
			paths[controller] = fields[2]
		}
	}
	return paths, nil
}

// cgroupMount is one mounted hierarchy.
type cgroupMount struct {
	root  string // the group that is mounted
	point string // where, relative to the root of files
}

// mounts reads where the hierarchies are, by controller; "" is version 2's.
func (g *cgroups) mounts() (map[string]cgroupMount, error) {
	text, err := optional(g.root, "proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	mounts := map[string]cgroupMount{}
	// A container may show the host's hierarchies elsewhere, beside its own.
	keep := func(controller string, m cgroupMount) {
		if _, ok := mounts[controller]; !ok || strings.HasPrefix(m.point, "sys/fs/cgroup") {
			mounts[controller] = m
		}
	}
	for _, line := range strings.Split(text, "\n") {
		// id parent device root point options [tags …] - type source options
		before, after, ok := strings.Cut(line, " - ")
		mount, system := strings.Fields(before), strings.Fields(after)
		if !ok || len(mount) < 5 || len(system) < 3 {
			continue
		}
		m := cgroupMount{root: mount[3], point: strings.TrimPrefix(path.Clean(mount[4]), "/")}
		switch system[0] {
		case "cgroup2":
			keep("", m)
		case "cgroup":
			for _, option := range strings.Split(system[2], ",") {
				keep(option, m)
			}
		}
	}
	return mounts, nil
}

// levels lists the groups from the one at name up to the one that is mounted,
// relative to the mount. A group outside of the mount leaves the mounted one:
// container runtimes mount a container's own group and nothing around it.
func (m cgroupMount) levels(name string) []string {
	rel, inside := name, true
	if m.root != "/" {
		rel, inside = strings.CutPrefix(name, m.root)
		inside = inside && (rel == "" || rel[0] == '/')
	}
	dirs := []string{"."}
	if !inside {
		return dirs
	}
	rel = path.Clean("/" + rel)
	for rel != "/" {
		dirs = append(dirs, rel[1:])
		rel = path.Dir(rel)
	}
	return dirs
}
