package strategy

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
)

// fakeMachine is what a systemMeter reads.
type fakeMachine struct {
	now        time.Time
	busy, idle float64 // seconds of processors since boot
	mem        float64 // percent
	timesErr   error
	memErr     error
	files      fstest.MapFS
}

func (f *fakeMachine) meter() *systemMeter {
	return &systemMeter{
		now: func() time.Time { return f.now },
		host: &host{
			times: func(context.Context) (cpu.TimesStat, error) {
				return cpu.TimesStat{User: f.busy / 2, System: f.busy / 2, Idle: f.idle / 2, Iowait: f.idle / 2, Guest: 1e6}, f.timesErr
			},
			memory: func(context.Context) (float64, error) { return f.mem, f.memErr },
		},
		groups: &cgroups{root: f.files},
	}
}

// pass lets two processors be busy for a share of d.
func (f *fakeMachine) pass(d time.Duration, percent float64) {
	f.now = f.now.Add(d)
	all := 2 * d.Seconds()
	f.busy += all * percent / 100
	f.idle += all * (100 - percent) / 100
}

func newFakeMachine(files map[string]string) *fakeMachine {
	f := &fakeMachine{now: time.Unix(1e9, 0), busy: 1000, idle: 5000, mem: 30, files: fstest.MapFS{}}
	f.write(files)
	return f
}

func (f *fakeMachine) write(files map[string]string) {
	for name, text := range files {
		f.files[name] = &fstest.MapFile{Data: []byte(text)}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func mustRead(t *testing.T, m Meter) Reading {
	t.Helper()
	r, err := m.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustBegin(t *testing.T, m Meter) {
	t.Helper()
	if r, err := m.Read(context.Background()); !errors.Is(err, ErrNoReading) {
		t.Fatalf("first reading: %+v, %v, want ErrNoReading", r, err)
	}
}

func TestHostRates(t *testing.T) {
	f := newFakeMachine(nil)
	m := f.meter()
	mustBegin(t, m)
	for _, want := range []float64{0, 25, 100} {
		f.pass(time.Second, want)
		f.mem = want / 2
		if r := mustRead(t, m); !near(r.CPU, want) || r.Mem != want/2 || r.CPUSource != "host" || r.MemSource != "host" {
			t.Errorf("got %+v, want cpu %v", r, want)
		}
	}
	// No tick in between: nothing to measure, but the next reading has a rate.
	if _, err := m.Read(context.Background()); !errors.Is(err, ErrNoReading) {
		t.Errorf("reading at the same moment: %v", err)
	}
	f.pass(time.Second, 50)
	if r := mustRead(t, m); !near(r.CPU, 50) {
		t.Errorf("got %+v, want cpu 50", r)
	}
	// A pause must not average over hours.
	f.pass(time.Hour, 100)
	mustBegin(t, m)
	f.pass(time.Second, 10)
	if r := mustRead(t, m); !near(r.CPU, 10) {
		t.Errorf("got %+v, want cpu 10", r)
	}
}

func TestAHostThatCannotBeReadFails(t *testing.T) {
	broken := errors.New("broken")
	for name, breakIt := range map[string]func(*fakeMachine, error){
		"cpu": func(f *fakeMachine, err error) { f.timesErr = err },
		"mem": func(f *fakeMachine, err error) { f.memErr = err },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeMachine(nil)
			m := f.meter()
			mustBegin(t, m)
			f.pass(time.Second, 10)
			breakIt(f, broken)
			if _, err := m.Read(context.Background()); !errors.Is(err, broken) {
				t.Errorf("got %v, want %v", err, broken)
			}
			breakIt(f, nil)
			f.pass(time.Second, 10)
			mustBegin(t, m)
		})
	}
}

// A machine's control groups: where the process is, and what is mounted where.
var (
	v2Host = map[string]string{
		"proc/self/cgroup":    "0::/kube/pod1/app\n",
		"proc/self/mountinfo": "24 30 0:22 / /proc rw,nosuid - proc proc rw\n31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
	}
	v2Container = map[string]string{
		"proc/self/cgroup":    "0::/\n",
		"proc/self/mountinfo": "31 23 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n900 23 0:28 /../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw\n",
	}
	v1Container = map[string]string{
		"proc/self/cgroup": "12:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
		"proc/self/mountinfo": "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n" +
			"35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro master:1 - cgroup cgroup rw,memory\n",
	}
	v1Apart = map[string]string{
		"proc/self/cgroup": "4:memory:/a/b\n2:cpuacct:/a/b\n1:cpu:/a/b\n",
		"proc/self/mountinfo": "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
			"33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n" +
			"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
	}
)

func TestCgroupRates(t *testing.T) {
	tests := []struct {
		name          string
		machine       map[string]string
		before, after map[string]string // one second apart; the host is at 10 % and 30 %
		cpu, mem      float64
		cpuSource     string
		memSource     string
	}{
		{
			name:    "no control groups",
			machine: nil,
			cpu:     10, cpuSource: "host", mem: 30, memSource: "host",
		},
		{
			name:    "v2 without limits",
			machine: v2Host,
			before: map[string]string{
				"sys/fs/cgroup/kube/pod1/app/cpu.max":    "max 100000\n",
				"sys/fs/cgroup/kube/pod1/app/memory.max": "max\n",
			},
			cpu: 10, cpuSource: "host", mem: 30, memSource: "host",
		},
		{
			name:    "v2, the group's own limits",
			machine: v2Container,
			before: map[string]string{
				"sys/fs/cgroup/cpu.max":             "50000 100000\n",
				"sys/fs/cgroup/cpu.stat":            "usage_usec 7000000\nuser_usec 1\n",
				"sys/fs/cgroup/memory.max":          "1000000\n",
				"sys/fs/cgroup/memory.current":      "900000\n",
				"sys/fs/cgroup/memory.stat":         "anon 1\ninactive_file 400000\nactive_file 9\n",
				"host/sys/fs/cgroup/cpu.max":        "1 100000\n",
				"host/sys/fs/cgroup/memory.current": "no number",
			},
			after: map[string]string{"sys/fs/cgroup/cpu.stat": "usage_usec 7400000\n"},
			cpu:   80, cpuSource: "cgroup", mem: 50, memSource: "cgroup",
		},
		{
			name:    "v2, tightest limit above",
			machine: v2Host,
			before: map[string]string{
				"sys/fs/cgroup/kube/pod1/app/cpu.max":         "400000 100000\n",
				"sys/fs/cgroup/kube/pod1/app/cpu.stat":        "usage_usec 0\n",
				"sys/fs/cgroup/kube/pod1/app/memory.max":      "max\n",
				"sys/fs/cgroup/kube/pod1/cpu.max":             "100000 100000\n",
				"sys/fs/cgroup/kube/pod1/cpu.stat":            "usage_usec 100\n",
				"sys/fs/cgroup/kube/memory.max":               "200\n",
				"sys/fs/cgroup/kube/memory.current":           "150\n",
				"sys/fs/cgroup/kube/memory.stat":              "inactive_file 0\n",
				"sys/fs/cgroup/kube/pod1/app/memory.current":  "150\n",
				"sys/fs/cgroup/kube/pod1/app/unrelated/x.max": "1\n",
			},
			after: map[string]string{
				"sys/fs/cgroup/kube/pod1/app/cpu.stat": "usage_usec 400000\n",
				"sys/fs/cgroup/kube/pod1/cpu.stat":     "usage_usec 900100\n",
			},
			cpu: 90, cpuSource: "cgroup", mem: 75, memSource: "cgroup",
		},
		{
			name:    "v2, idle group on a busier host",
			machine: v2Container,
			before: map[string]string{
				"sys/fs/cgroup/cpu.max":        "100000 100000\n",
				"sys/fs/cgroup/cpu.stat":       "usage_usec 5\n",
				"sys/fs/cgroup/memory.max":     "1000\n",
				"sys/fs/cgroup/memory.current": "100\n",
				"sys/fs/cgroup/memory.stat":    "inactive_file 400\n", // may be ahead of the counter
			},
			cpu: 10, cpuSource: "host", mem: 30, memSource: "host",
		},
		{
			name:    "v1 in a container",
			machine: v1Container,
			before: map[string]string{
				"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":  "200000\n",
				"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
				"sys/fs/cgroup/cpu,cpuacct/cpuacct.usage":     "1000000000\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes":  "4096\n",
				"sys/fs/cgroup/memory/memory.usage_in_bytes":  "4096\n",
				"sys/fs/cgroup/memory/memory.stat":            "inactive_file 4096\ntotal_inactive_file 1024\n",
			},
			after: map[string]string{"sys/fs/cgroup/cpu,cpuacct/cpuacct.usage": "2500000000\n"},
			cpu:   75, cpuSource: "cgroup", mem: 75, memSource: "cgroup",
		},
		{
			name:    "v1, controllers mounted apart, limits above",
			machine: v1Apart,
			before: map[string]string{
				"sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us":         "-1\n",
				"sys/fs/cgroup/cpu/a/cpu.cfs_quota_us":           "100000\n",
				"sys/fs/cgroup/cpu/a/cpu.cfs_period_us":          "100000\n",
				"sys/fs/cgroup/cpuacct/a/cpuacct.usage":          "0\n",
				"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
			},
			after: map[string]string{"sys/fs/cgroup/cpuacct/a/cpuacct.usage": "600000000\n"},
			cpu:   60, cpuSource: "cgroup", mem: 30, memSource: "host",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeMachine(tt.machine)
			f.write(tt.before)
			m := f.meter()
			mustBegin(t, m)
			f.pass(time.Second, 10)
			f.write(tt.after)
			r := mustRead(t, m)
			if !near(r.CPU, tt.cpu) || !near(r.Mem, tt.mem) || r.CPUSource != tt.cpuSource || r.MemSource != tt.memSource {
				t.Errorf("got %+v, want %+v", r, tt)
			}
		})
	}
}

// A limit whose use cannot be read is a reading that fails.
func TestALimitWhoseUseCannotBeReadFails(t *testing.T) {
	tests := []struct {
		name    string
		machine map[string]string
		files   map[string]string
		names   string
	}{
		{"v2 cpu.max", v2Container, map[string]string{"sys/fs/cgroup/cpu.max": "50000 x"}, "cpu.max"},
		{"v2 cpu.max alone", v2Container, map[string]string{"sys/fs/cgroup/cpu.max": "50000"}, "cpu.max"},
		{"v2 no cpu.stat", v2Container, map[string]string{"sys/fs/cgroup/cpu.max": "50000 100000"}, "cpu.stat"},
		{"v2 no usage", v2Container, map[string]string{"sys/fs/cgroup/cpu.max": "50000 100000", "sys/fs/cgroup/cpu.stat": "nr 1"}, "usage_usec"},
		{"v2 memory.max", v2Container, map[string]string{"sys/fs/cgroup/memory.max": "much"}, "memory.max"},
		{"v2 no memory.current", v2Container, map[string]string{"sys/fs/cgroup/memory.max": "5"}, "memory.current"},
		{"v1 period", v1Container, map[string]string{"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "5"}, "cpu.cfs_period_us"},
		{"v1 no usage", v1Container, map[string]string{
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us":  "5",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "5",
		}, "cpuacct.usage"},
		{"v1 no stat", v1Container, map[string]string{
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "5",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "5",
		}, "memory.stat"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeMachine(tt.machine)
			f.write(tt.files)
			_, err := f.meter().Read(context.Background())
			if err == nil || errors.Is(err, ErrNoReading) || !strings.Contains(err.Error(), tt.names) {
				t.Errorf("got %v, want an error about %s", err, tt.names)
			}
		})
	}
}

func TestCgroupLimitSetLater(t *testing.T) {
	f := newFakeMachine(v2Container)
	f.write(map[string]string{
		"sys/fs/cgroup/cpu.max":  "max 100000\n",
		"sys/fs/cgroup/cpu.stat": "usage_usec 0\n",
	})
	m := f.meter()
	mustBegin(t, m)
	f.pass(time.Second, 10)
	f.write(map[string]string{"sys/fs/cgroup/cpu.max": "100000 100000\n"})
	if r := mustRead(t, m); r.CPUSource != "host" {
		t.Errorf("a rate from nowhere: %+v", r)
	}
	f.pass(time.Second, 10)
	f.write(map[string]string{"sys/fs/cgroup/cpu.stat": "usage_usec 700000\n"})
	if r := mustRead(t, m); !near(r.CPU, 70) || r.CPUSource != "cgroup" {
		t.Errorf("got %+v, want 70 %% of the cgroup", r)
	}
}

// It reads this machine.
func TestTheSystemMeterReadsThisMachine(t *testing.T) {
	m := SystemMeter()
	mustBegin(t, m)
	deadline := time.Now().Add(timeout)
	for {
		r, err := m.Read(context.Background())
		if errors.Is(err, ErrNoReading) && time.Now().Before(deadline) {
			continue // until the processors' clock ticks
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.CPU < 0 || r.Mem <= 0 || r.CPUSource == "" || r.MemSource == "" {
			t.Errorf("got %+v", r)
		}
		return
	}
}
