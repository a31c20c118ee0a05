package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// cgroup is a memory control group of a test.
type cgroup struct {
	t   *testing.T
	dir string
	v2  bool
}

// newCgroup makes a group with a limit of so many MiB, 0 for none, in parent; nil stands
// for the group that the test is in. It skips the test where no group can be made.
func newCgroup(t *testing.T, parent *cgroup, limit int64) *cgroup {
	t.Helper()
	g := &cgroup{t: t}
	if parent != nil {
		g.dir, g.v2 = parent.dir, parent.v2
	} else {
		g.dir, g.v2 = ownCgroup(t)
	}
	if g.v2 && parent != nil {
		if err := os.WriteFile(filepath.Join(g.dir, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			t.Skipf("no memory groups in a group: %v", err)
		}
	}
	g.dir = filepath.Join(g.dir, fmt.Sprintf("tcpcopy-%d-%s", os.Getpid(), strings.ReplaceAll(filepath.Base(t.Name()), "#", "_")))
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Skipf("make a control group: %v", err)
	}
	t.Cleanup(func() { // when the processes have ended
		eventually(t, "the control group is empty", func() bool {
			err := os.Remove(g.dir)
			return err == nil || errors.Is(err, os.ErrNotExist)
		})
	})
	if limit > 0 {
		name := "memory.limit_in_bytes"
		if g.v2 {
			name = "memory.max"
		}
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(strconv.FormatInt(limit<<20, 10)), 0); err != nil {
			t.Skipf("limit a control group: %v", err)
		}
	}
	return g
}

// ownCgroup returns the directory of the memory group that the test is in.
func ownCgroup(t *testing.T) (dir string, v2 bool) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skipf("no control groups: %v", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		root, probe := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		switch fields[1] {
		case "memory":
		case "":
			root, probe = "/sys/fs/cgroup", "memory.current"
		default:
			continue
		}
		for _, dir := range []string{filepath.Join(root, fields[2]), root} {
			if _, err := os.Stat(filepath.Join(dir, probe)); err == nil {
				return dir, fields[1] == ""
			}
		}
	}
	t.Skip("no memory control group")
	return "", false
}

// procs returns the file that processes are moved into the group with.
func (g *cgroup) procs() string { return filepath.Join(g.dir, "cgroup.procs") }

// add moves a process into the group.
func (g *cgroup) add(pid int) {
	g.t.Helper()
	if err := os.WriteFile(g.procs(), []byte(strconv.Itoa(pid)), 0); err != nil {
		g.t.Skipf("move a process to a control group: %v", err)
	}
}

// used returns how many bytes are in use.
func (g *cgroup) used() int64 {
	g.t.Helper()
	name := "memory.usage_in_bytes"
	if g.v2 {
		name = "memory.current"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		g.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// fill has the group use so many MiB in all, in shared memory.
func (g *cgroup) fill(mib int64) {
	g.t.Helper()
	f, err := os.CreateTemp("/dev/shm", "tcpcopy-ballast-")
	if err != nil {
		g.t.Skipf("no shared memory: %v", err)
	}
	f.Close()
	g.t.Cleanup(func() { _ = os.Remove(f.Name()) })
	n := mib<<20 - g.used()
	if n < 0 {
		g.t.Fatalf("the group uses %d bytes already", g.used())
	}
	c := exec.Command("sh", "-c", `echo $$ >"$1" && exec head -c "$2" /dev/zero >"$3"`, "sh", g.procs(), strconv.FormatInt(n, 10), f.Name())
	if out, err := c.CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
}
