package persistence

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Whatever connections do, and whichever captures and windows are opened and closed meanwhile
// over the one ring: each of them has each byte of its scope once and in its place, or in a
// gap, from its opening to its end, and nothing else. The totals have each byte once.
func TestCapturesAreExact(t *testing.T) {
	for i, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}, {FormatHexMeta, FormatPcapng}} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%v %d", formats, seed), func(t *testing.T) {
				playCaptures(t, formats, uint64(i)*100+seed)
			})
		}
	}
}

func playCaptures(t *testing.T, formats []Format, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 10))
	size := []int64{2 << 20, 16 << 20, 16 << 20}[random.IntN(3)]
	lossy := size < 16<<20
	r := newHarness(t, func(c *Config) { c.Formats, c.Workers = formats, 1+random.IntN(3) }, nil)
	f := r.openFlight(size)
	c := &crowd{ring: f.Ring, run: r.run}
	stop := make(chan struct{})
	var talk sync.WaitGroup
	for g := range uint64(4) {
		talk.Add(1)
		go func() {
			defer talk.Done()
			c.talk(seed*10+g, 16, 1000, 60)
		}()
	}
	go func() { // ends with the talkers
		talk.Wait()
		close(stop)
	}()
	var sessions, open []*observed
	var window *observed
	begin := func(o *observed) {
		sessions, open = append(sessions, o), append(open, o)
	}
	for n := 1; ; n++ {
		select {
		case <-stop:
			for _, o := range open {
				o.close()
			}
			f.Shut()
			f.Close()
			for _, o := range sessions {
				r.judge(o, c.talkers())
			}
			r.judgeTotals(sessions)
			if len(sessions) == 0 {
				t.Error("no session")
			}
			r.quiet()
			return
		case <-time.After(time.Duration(random.IntN(4000)) * time.Microsecond):
		}
		all := c.talkers()
		if len(all) == 0 {
			continue
		}
		const most = 12 // sessions: each reads all logs
		switch k := random.IntN(10); {
		case k < 4 && len(open) < 3 && len(sessions) < most:
			scope := Scope{}
			switch random.IntN(3) {
			case 0:
				scope.Conn = all[max(0, len(all)-1-random.IntN(64))].id
			case 1:
				scope.Listener = []string{"even", "odd"}[random.IntN(2)]
			}
			o := &observed{n: n, lossy: lossy, scope: scope, asked: time.Now().Add(-time.Duration(random.IntN(40)) * time.Millisecond)}
			o.Session = r.capture(f, n, o.asked, scope)
			o.began = time.Now()
			begin(o)
		case k < 6 && window == nil && len(sessions) < most:
			o := &observed{n: n, lossy: lossy, asked: time.Now()}
			o.Session = r.open(n)
			o.Start()
			o.began = time.Now()
			window = o
			begin(o)
		case k < 8 && len(open) > 0:
			i := random.IntN(len(open))
			open[i].close()
			if open[i] == window {
				window = nil
			}
			open = append(open[:i:i], open[i+1:]...)
		case window != nil:
			window.Pause(record.ReasonGuard)
			window.Resume(record.ReasonGuard)
		}
	}
}
