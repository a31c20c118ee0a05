package persistence

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/record"
)

// scenario is one random run: some goroutines let bytes pass on some connections in
// some windows, while recording pauses and goes on, and files fail.
type scenario struct {
	*harness
	peers    []*peer
	sessions []*Session // of the windows
	faults   faults
}

// faults make files fail at random. Its methods are called from one goroutine.
type faults interface {
	next(r *rand.Rand)
	repair()
}

type noFaults struct{}

func (noFaults) next(*rand.Rand) {}
func (noFaults) repair()         {}

// play runs the scenario: windows one after the other, in each of them goroutines
// with the connections at random.
func (s *scenario) play(seed uint64, windows, goroutines, steps int) {
	for n := range windows {
		session := s.open(n)
		s.sessions = append(s.sessions, session)
		stop, done := make(chan struct{}), make(chan struct{})
		go func() { // ends with stop
			defer close(done)
			s.disturb(session, rand.New(rand.NewPCG(seed, uint64(n))), stop)
		}()
		var talk sync.WaitGroup
		for g := range goroutines {
			talk.Add(1)
			go func() {
				defer talk.Done()
				s.talk(session, rand.New(rand.NewPCG(seed, uint64(1000*n+g+1))), steps)
			}()
		}
		talk.Wait()
		close(stop)
		<-done
		session.Close(time.Now())
		for _, p := range s.peers { // who comes late changes nothing
			session.Data(&p.Conn, record.In, p.before(), [][]byte{[]byte("late")}, 4)
			session.End(&p.Conn, "late", p.before())
			p.say(nil, record.In, []byte("between the windows"))
		}
	}
}

// disturb holds and releases the session and lets files fail, until stop.
func (s *scenario) disturb(session *Session, r *rand.Rand, stop <-chan struct{}) {
	paused := false
	for {
		select {
		case <-stop:
			s.faults.repair()
			return
		default:
		}
		if r.IntN(4) == 0 {
			if paused = !paused; paused {
				session.Pause(record.ReasonGuard)
			} else {
				session.Resume(record.ReasonGuard)
			}
		}
		s.faults.next(r)
	}
}

func (s *scenario) talk(session *Session, r *rand.Rand, steps int) {
	for range steps {
		p := s.peers[r.IntN(len(s.peers))]
		dir := record.Direction(r.IntN(2))
		n := 1 + r.IntN(200)
		switch r.IntN(40) {
		case 0:
			n = 1 + r.IntN(50_000)
		case 1, 2, 3, 4, 5:
			n = 1 + r.IntN(6000)
		case 6:
			if r.IntN(4) == 0 {
				p.hangUp(session)
				continue
			}
		}
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		if r.IntN(30) == 0 {
			p.slip(session, dir, data)
		} else {
			p.say(session, dir, data)
		}
	}
}

// judge reads the directory and compares it with what has passed. With reasons,
// the reasons of the gaps have to be those of the index, too.
func (s *scenario) judge(reasons bool) {
	s.t.Helper()
	byID := map[string]*peer{}
	for _, p := range s.peers {
		byID[p.id] = p
	}
	all := s.connections()
	for _, c := range all {
		byID[c.Conn].compare(s.t, c)
	}
	for n, session := range s.sessions {
		w := s.indexed(n)
		var logged, passed oracle.PerDirection
		for _, c := range all {
			if c.Window == w.Window {
				logged.In += c.In.Kept() + c.In.Lost()
				logged.Out += c.Out.Kept() + c.Out.Lost()
			}
		}
		for _, p := range s.peers {
			passed.In += p.seen[session].In
			passed.Out += p.seen[session].Out
		}
		if logged != w.Seen || passed != w.Seen {
			s.t.Errorf("window %d: %+v passed, the index has %+v, the log %+v", n, passed, w.Seen, logged)
		}
		if reasons {
			if err := w.Agrees(all); err != nil {
				s.t.Errorf("window %d: %v", n, err)
			}
		}
	}
}

// Whatever connections do, whatever pauses: the log has each byte once and in its
// place, or in a gap, and the index says the same.
func TestTheLogIsExact(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		size := []int64{MinBufferSize, 100_000, 256 << 10, 8 << 20}[r.IntN(4)]
		workers := 1 + r.IntN(5)
		connections := 1 + r.IntN(40)
		t.Run(fmt.Sprintf("%d: %d bytes, %d workers, %d connections", seed, size, workers, connections), func(t *testing.T) {
			s := &scenario{faults: noFaults{}, harness: newHarness(t, func(c *Config) {
				c.BufferSize, c.Workers, c.Roll.Size = size, workers, 1<<20
			}, nil)}
			for i := range connections {
				p := newPeer(s.run, i+1)
				p.Limit = []uint64{0, 0, 5000}[r.IntN(3)]
				s.peers = append(s.peers, p)
			}
			s.play(seed, 3, 4, 250)
			s.judge(true)
			s.quiet()
		})
	}
}
