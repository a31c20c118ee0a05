package strategy

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/fstest"
)

const mib = 1 << 20

// v1Use and v2Use are the files of a group in dir; limit 0 is none. idle is of used.
func v1Use(dir string, limit, used, idle int) map[string]string {
	text := fmt.Sprint(limit)
	if limit == 0 {
		text = "9223372036854771712"
	}
	return map[string]string{
		dir + "/memory.limit_in_bytes": text + "\n",
		dir + "/memory.usage_in_bytes": fmt.Sprintf("%d\n", used),
		dir + "/memory.stat":           fmt.Sprintf("inactive_file 7\ntotal_shmem %d\ntotal_inactive_file %d\n", used, idle),
	}
}

func v2Use(dir string, limit, high string, used, idle int) map[string]string {
	return map[string]string{
		dir + "/memory.max": limit + "\n", dir + "/memory.high": high + "\n",
		dir + "/memory.current": fmt.Sprintf("%d\n", used),
		dir + "/memory.stat":    fmt.Sprintf("anon 1\nshmem 9\ninactive_file %d\n", idle),
	}
}

func TestMemoryRoomIsWhatTheNarrowestLimitLeaves(t *testing.T) {
	v1 := func(more ...map[string]string) []map[string]string { return append(more, v1Apart) }
	v2 := func(more ...map[string]string) []map[string]string { return append(more, v2Host) }
	app, pod, kube := "sys/fs/cgroup/kube/pod1/app", "sys/fs/cgroup/kube/pod1", "sys/fs/cgroup/kube"
	for _, test := range []struct {
		name  string
		files []map[string]string
		rate  float64
		want  float64 // MiB
		why   string
	}{
		{"no limits", nil, 80, math.Inf(1), ""},
		{"v1, 256 of which 199", v1(v1Use("sys/fs/cgroup/memory/a/b", 256*mib, 199*mib, 0)), 80, 5.8, "mem_max_rate allows 80 %"},
		{"v1, 128 of which 82", v1(v1Use("sys/fs/cgroup/memory/a/b", 128*mib, 82*mib, 0)), 70, 7.6, "/a/b has 82.0 MiB in use of 128.0 MiB"},
		{"v1, 512 of which 340", v1(v1Use("sys/fs/cgroup/memory/a/b", 512*mib, 340*mib, 0)), 70, 18.4, "mem_max_rate"},
		{"v1, guard off", v1(v1Use("sys/fs/cgroup/memory/a/b", 256*mib, 199*mib, 0)), 100, 49, "less a margin"},
		{"v1, a large limit has a large margin", v1(v1Use("sys/fs/cgroup/memory/a/b", 1024*mib, 0, 0)), 100, 1024 - 32, "less a margin"},
		{"v1, a rate near the limit", v1(v1Use("sys/fs/cgroup/memory/a/b", 128*mib, 0, 0)), 99, 120, "less a margin"},
		{"v1, files are not in use", v1(v1Use("sys/fs/cgroup/memory/a/b", 256*mib, 199*mib, 100*mib)), 80, 105.8, ""},
		{"v1, a limit above", v1(v1Use("sys/fs/cgroup/memory/a/b", 0, 10*mib, 0), v1Use("sys/fs/cgroup/memory/a", 256*mib, 199*mib, 0)), 80, 5.8, "memory/a has"},
		{"v1, a limit above that is not seen", v1(map[string]string{
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": fmt.Sprint(199 * mib),
			"sys/fs/cgroup/memory/a/b/memory.stat":           fmt.Sprintf("hierarchical_memory_limit %d\ntotal_inactive_file 0\n", 256*mib),
		}), 80, 5.8, "memory/a/b has"},
		{"v1, over the limit", v1(v1Use("sys/fs/cgroup/memory/a/b", 64*mib, 63*mib, 0)), 80, 0, ""},
		{"v1, memory and swap", v1(v1Use("sys/fs/cgroup/memory/a/b", 256*mib, 100*mib, 0), map[string]string{
			"sys/fs/cgroup/memory/a/b/memory.memsw.limit_in_bytes": fmt.Sprint(256 * mib),
			"sys/fs/cgroup/memory/a/b/memory.memsw.usage_in_bytes": fmt.Sprint(240 * mib),
		}), 100, 8, "memory and swap"},
		{"v2", v2(v2Use(app, fmt.Sprint(256*mib), "max", 199*mib, 0)), 80, 5.8, "kube/pod1/app"},
		{"v2, above", v2(v2Use(app, "max", "max", 1, 0), v2Use(pod, fmt.Sprint(512*mib), "max", 340*mib, 0), v2Use(kube, fmt.Sprint(4096*mib), "max", 340*mib, 0)), 70, 18.4, "kube/pod1 has"},
		{"v2, high before max", v2(v2Use(app, fmt.Sprint(512*mib), fmt.Sprint(256*mib), 199*mib, 0)), 80, 5.8, ""},
		{"v2, high alone", v2(v2Use(app, "max", fmt.Sprint(128*mib), 82*mib, 0)), 70, 7.6, ""},
		{"v2, files are not in use", v2(v2Use(app, fmt.Sprint(128*mib), "max", 100*mib, 18*mib)), 70, 7.6, ""},
		{"host", []map[string]string{{"proc/meminfo": "MemTotal: 1048576 kB\nMemFree: 1 kB\nMemAvailable: 307200 kB\nShmem: 5 kB\n"}}, 80, 819.2 - 724, "host has"},
		{"old host", []map[string]string{{"proc/meminfo": "MemTotal: 1048576 kB\nMemFree: 204800 kB\nBuffers: 0 kB\nCached: 204800 kB\nShmem: 102400 kB\n"}}, 80, 819.2 - 724, "host has"},
		{"no overcommitment", []map[string]string{{
			"proc/meminfo":                  "MemTotal: 8388608 kB\nMemAvailable: 8388608 kB\nCommitLimit: 1048576 kB\nCommitted_AS: 741376 kB\n",
			"proc/sys/vm/overcommit_memory": "2\n",
		}}, 80, 819.2 - 724, "commit limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for _, files := range test.files {
				for name, text := range files {
					root[name] = &fstest.MapFile{Data: []byte(text)}
				}
			}
			got, why, err := newMemoryRoom(root).Read(test.rate)
			if err != nil {
				t.Fatal(err)
			}
			if math.IsInf(test.want, 1) {
				if got != math.MaxInt64 {
					t.Errorf("%d bytes", got)
				}
				return
			}
			if math.Abs(float64(got)/mib-test.want) > 1e-3 || !strings.Contains(why, test.why) {
				t.Errorf("%.4f MiB, %q; want %.4f", float64(got)/mib, why, test.want)
			}
		})
	}
}

// A limit whose use cannot be read leaves nobody room.
func TestMemoryRoomThatCannotBeReadFails(t *testing.T) {
	for _, files := range []map[string]string{
		{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "5\n"},
		{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "much\n"},
		{"proc/meminfo": "MemTotal: much kB\n"},
	} {
		root := fstest.MapFS{}
		for _, all := range []map[string]string{files, v1Apart} {
			for name, text := range all {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
		}
		if bytes, why, err := newMemoryRoom(root).Read(80); err == nil {
			t.Errorf("%v: %d bytes, %s", files, bytes, why)
		}
	}
}

// The limit of a window is that of the configuration in force, while the guard is on.
func TestTheMemoryRateIsThatOfTheLayerInForce(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	if rate := c.MemMaxRate(); rate != 70 {
		t.Errorf("by default %v", rate)
	}
	if c.SetGuard(false); c.MemMaxRate() != 100 {
		t.Errorf("without the guard %v", c.MemMaxRate())
	}
}
