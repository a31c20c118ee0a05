package test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// Opening a window never gets the process killed for memory: the window has a smaller
// buffer, or it is refused with the reason.
func TestAWindowFitsIntoTheMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		name        string
		limit, used int64 // MiB
		rate        float64
		buffer      string
		guard       string
		nested      bool
		opens       bool // the window must open, with a smaller buffer
	}{
		{name: "guarded", limit: 256, used: 199, rate: 80, buffer: "64MiB", guard: "on"},
		{name: "guarded_small", limit: 128, used: 82, rate: 70, buffer: "64MiB", guard: "on"},
		{name: "guarded_large_buffer", limit: 512, used: 340, rate: 70, buffer: "256MiB", guard: "on"},
		{name: "unguarded", limit: 256, used: 199, rate: 80, buffer: "64MiB", guard: "off", opens: true},
		{name: "unguarded_large_buffer", limit: 512, used: 340, rate: 70, buffer: "256MiB", guard: "off", opens: true},
		{name: "limit_above", limit: 256, used: 199, rate: 80, buffer: "64MiB", guard: "off", nested: true, opens: true},
		{name: "full", limit: 128, used: 119, rate: 70, buffer: "64MiB", guard: "off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, spool := range []string{"auto", "off"} {
				t.Run(spool, func(t *testing.T) {
					group := newCgroup(t, nil, test.limit)
					inner := group
					if test.nested {
						inner = newCgroup(t, group, 0)
					}
					base, address := newBase(t), freeAddress(t)
					filter := recorder(base, block{
						"guard":    test.guard,
						"buffer":   block{"size": test.buffer, "spool": spool},
						"strategy": block{"switch": "OFF", "cpu_max_rate": 99.99, "mem_max_rate": test.rate},
					})
					m := start(t, base, configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, filter, mosnproc.TCPProxy())))
					l := newLoad(t, address, 4, 16<<10)
					defer l.close()
					inner.add(m.Pid())
					l.run(t, 200*time.Millisecond) // so that it has what it needs itself
					group.fill(test.used)

					id := m.openWhereItFits(test.opens)
					l.run(t, 200*time.Millisecond) // fails when the process is killed
					if id == "" {
						return
					}
					s, err := m.Admin.Status(deadline(t))
					if err != nil {
						t.Fatal(err)
					}
					if s.Buffer.Window <= 0 || s.Buffer.Window >= s.Buffer.Size {
						t.Errorf("the window has a buffer of %d bytes, of %d", s.Buffer.Window, s.Buffer.Size)
					}
					if w := m.close(id); w.Seen != (oracle.PerDirection{In: w.Written.In + w.Lost.In, Out: w.Written.Out + w.Lost.Out}) || w.Seen.In == 0 {
						t.Errorf("index line %+v", w)
					}
				})
			}
		})
	}
}

// openWhereItFits opens a window, and returns "" where that is refused for the reason
// that there is too little memory. A busy processor is no reason: it tries again.
func (m *mosn) openWhereItFits(must bool) (id string) {
	m.t.Helper()
	begun := time.Now()
	for {
		id, err := m.Admin.OpenWindow(deadline(m.t), 10*time.Minute)
		if err == nil {
			return id
		}
		var refused *mosnproc.StatusError
		switch {
		case !errors.As(err, &refused) || refused.Code != http.StatusServiceUnavailable:
			m.t.Fatal(err)
		case strings.Contains(refused.Body, "too little memory") && !must, strings.Contains(refused.Body, "mem "):
			if !strings.Contains(refused.Body, "cgroup") {
				m.t.Errorf("the refusal does not name the limit: %s", refused.Body)
			}
			return ""
		case !strings.Contains(refused.Body, "cpu "):
			m.t.Fatal(err)
		case time.Since(begun) > timeout/3:
			m.t.Skip("the guard sees no idle processor:", err)
		}
	}
}
