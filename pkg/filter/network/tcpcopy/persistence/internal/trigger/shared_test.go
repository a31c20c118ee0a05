package trigger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// brokenDecoder is a decoder that fails.
type brokenDecoder struct{ protocol.Decoder }

func (brokenDecoder) Data(record.Direction, uint64, time.Time, []byte) { panic("broken") }

func TestAPanicOfADecoderEndsNothingElse(t *testing.T) {
	t.Parallel()
	var reports []error
	f := newFeed(t, Options{Report: func(err error) { reports = append(reports, err) }}, Trigger{Name: "failed", Where: "failed"}, Trigger{Name: "bytes", Bytes: []string{"timeout"}})
	f.talk(1, ">"+get)
	f.talk(2, ">"+get)
	d := f.m.connections[1].decoding
	d.decoder = brokenDecoder{d.decoder}
	f.talk(1, "<"+bad)
	f.talk(2, "<"+bad)
	f.want("bytes bytes failed")
	f.talk(1, ">"+get, "<"+bad) // it is not decoded any more
	f.want("bytes")
	f.close(1, record.CloseRemote)
	var failed *PanicError
	if len(reports) != 1 || !errors.As(reports[0], &failed) || failed.Conn != connOf(1) || failed.Value != "broken" || failed.Protocol != "http/1.1" || len(failed.Stack) == 0 {
		t.Errorf("reports %v", reports)
	}
	if st := f.set.Status(); st.Panics != 1 {
		t.Errorf("status %+v", st)
	}
	f.talk(1, ">"+get, "<"+bad) // a new connection in the slot
	f.want("bytes failed")
}

// heap returns the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// What is accounted for decoders is what they have, and ten thousand connections have no
// more than was promised.
func TestMemoryOfManyConnections(t *testing.T) {
	const many = 10_000
	var block bytes.Buffer
	henc := hpack.NewEncoder(&block)
	grpcRequest, grpcAnswer := grpcCall(t, henc, &block, 1, "/shop.Cart/Add", "0", "eggs")
	session := func(file string) []string {
		var texts []string
		for _, p := range parsetest.Load(t, filepath.Join("../../../../../../protocol", file))[:20] {
			texts = append(texts, string(p.Dir.Arrow())+string(p.Data))
		}
		return texts
	}
	for name, texts := range map[string][]string{
		"http/1.1":        {">" + get, "<" + ok, ">" + get, "<" + bad, ">" + get},
		"http/1.1, half":  {">" + get + get[:40]},
		"grpc":            {">" + preface(t) + grpcRequest, "<" + grpcAnswer},
		"redis":           {">*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "<$1\r\nv\r\n", ">*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"},
		"mysql":           session("mysql/testdata/modern.talk"),
		"postgresql":      session("postgresql/testdata/extended.talk"),
		"long first line": {">GET /" + strings.Repeat("x", 30_000)},
		"unknown":         {">\x01\x02\x03", "<\x04"},
		"none":            {},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed(t, Options{}, Trigger{Name: "failed", Where: "failed or latency > 2s"}, Trigger{Name: "bytes", Bytes: []string{"-----BEGIN", "SIGSEGV"}})
			endpoints := make([]*record.Endpoint, many)
			for i := range endpoints {
				endpoints[i] = endpoint(uint32(i))
			}
			before := heap()
			for i := range uint32(many) {
				f.m.Open(i, endpoints[i], record.PerDirection{}, f.at)
				var next [2]uint64
				for _, text := range texts {
					dir, _ := record.ParseArrow(text[0])
					f.m.Data(i, dir, next[dir], f.at, []byte(text[1:]))
					next[dir] += uint64(len(text) - 1)
				}
			}
			f.events = nil
			used, accounted := heap()-before, f.set.memory.Load()
			t.Logf("%d bytes a connection, accounted %d, %d connections shed", used/many, accounted/many, f.set.Status().ShedConnections)
			if limit := int64(defaultDecoders); accounted > limit || int64(used) > limit*5/4+many*400 {
				t.Errorf("%d bytes, of which %d are accounted", used, accounted)
			}
			if float64(accounted) < 0.6*float64(used)-many*400 {
				t.Errorf("%d bytes are used and %d accounted", used, accounted)
			}
			if name != "long first line" && name != "postgresql" && name != "mysql" && f.set.Status().ShedConnections != 0 {
				t.Errorf("%d connections are shed", f.set.Status().ShedConnections)
			}
			runtime.KeepAlive(endpoints)
		})
	}
}

// Without conditions over calls a connection costs next to nothing.
func TestMemoryWithoutDecoders(t *testing.T) {
	f := newFeed(t, Options{}, Trigger{Name: "bytes", Bytes: []string{"-----BEGIN", strings.Repeat("x", maxPattern)}})
	const many = 10_000
	e := endpoint(1)
	before := heap()
	for i := range uint32(many) {
		f.m.Open(i, e, record.PerDirection{}, f.at)
		f.m.Data(i, record.In, 0, f.at, bytes.Repeat([]byte("x"), 1000))
	}
	if used := int64(heap()-before) / many; used > 150 {
		t.Errorf("%d bytes a connection", used)
	}
}

// Beyond the memory connections are not decoded, the largest first, which is counted and
// reported once; when there is room again, they are.
func TestDecodersHaveBoundedMemory(t *testing.T) {
	t.Parallel()
	var reports []error
	f := newFeed(t, Options{Decoders: 1 << 20, Report: func(err error) { reports = append(reports, err) }}, Trigger{Name: "failed", Where: "failed"}, Trigger{Name: "bytes", Bytes: []string{"timeout"}})
	for i := range uint32(50) {
		f.talk(i, ">"+get)
	}
	for i := uint32(50); i < 100; i++ { // each waits for the end of a long head
		f.talk(i, ">GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 40_000))
		f.at += relieveEvery
		if memory := f.set.memory.Load(); memory > 1<<20 {
			t.Fatalf("%d bytes", memory)
		}
	}
	st := f.set.Status()
	if st.ShedConnections == 0 || len(reports) != 1 || !errors.Is(reports[0], ErrDecoders) {
		t.Fatalf("status %+v, reports %v", st, reports)
	}
	for i := range uint32(50) { // the small ones were kept
		f.talk(i, "<"+bad)
	}
	f.want(strings.TrimSpace(strings.Repeat("bytes failed ", 50)))
	shed := uint32(50)
	for !f.m.connections[shed].shed {
		shed++
	}
	last := f.m.connections[shed]
	for i := uint32(50); i < 100; i++ {
		if i != shed {
			f.close(i, record.CloseRemote)
		}
	}
	f.later(time.Second)
	if last.decoding != nil {
		t.Fatal("it is decoded again at once")
	}
	f.later(rejoinAfter)
	f.names()
	if last.decoding == nil {
		t.Fatal("it is not decoded again")
	}
	f.talk(shed, ">\r\n\r\n", "<"+ok, ">"+get, "<"+bad, ">"+get, "<"+bad)
	if got := f.names(); !strings.Contains(got, "failed") {
		t.Errorf("events %q", got)
	}
}

// The most expensive trigger is shed, and comes back.
func TestShed(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "rare", Bytes: []string{"-----BEGIN"}}, Trigger{Name: "frequent", Bytes: []string{"e"}}, Trigger{Name: "closes", Close: []record.CloseReason{record.CloseRemote}})
	if name, ok := f.set.Shed(); ok {
		t.Fatalf("%s was shed although nothing has cost anything", name)
	}
	text := bytes.Repeat([]byte("the quick brown fox eats the bee "), 500)
	for range 200 {
		f.data(1, record.In, text)
	}
	f.later(3 * time.Second)
	f.events = nil
	if name, ok := f.set.Shed(); !ok || name != "frequent" {
		st := f.set.Status()
		t.Fatalf("%s was shed, %v: %+v", name, ok, st)
	}
	f.talk(1, ">the -----BEGIN")
	f.want("rare")
	st := f.set.Status()
	if !st.Triggers[1].Shed || st.Triggers[1].Sheds != 1 || st.Triggers[0].Shed || st.Triggers[1].CPUSeconds <= st.Triggers[0].CPUSeconds {
		t.Errorf("status %+v", st)
	}
	if name, ok := f.set.Shed(); !ok || name != "rare" {
		t.Errorf("%s was shed, %v", name, ok)
	}
	f.talk(1, ">the -----BEGIN")
	f.want("")
	f.close(1, record.CloseRemote)
	f.want("closes")
	for _, want := range []string{"rare", "frequent"} {
		if name, ok := f.set.Restore(); !ok || name != want {
			t.Errorf("%s has come back, %v", name, ok)
		}
	}
	if name, ok := f.set.Restore(); ok {
		t.Errorf("%s has come back, too", name)
	}
	f.talk(1, ">the -----BEGIN")
	f.want("rare frequent")
}

func TestShedConditions(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "failed", Where: "failed"}, Trigger{Name: "body", Where: `response.body contains "timeout"`})
	for range 200 {
		f.talk(1, ">"+get, "<HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"+strings.Repeat("x", 20_000))
	}
	f.later(3 * time.Second)
	if name, ok := f.set.Shed(); !ok || name != "body" {
		t.Fatalf("%s was shed, %v", name, ok)
	}
	f.talk(1, ">"+get) // its answer comes when contents are asked for again
	if f.m.connections[1].decoding.WantsSpans() {
		t.Error("values are read for nobody")
	}
	if _, ok := f.set.Restore(); !ok {
		t.Fatal("it does not come back")
	}
	f.talk(1, "<"+bad)
	f.want("failed")
	if st := f.set.Status().Triggers[1]; st.Unknown != 1 {
		t.Errorf("a call whose beginning was not looked at: %+v", st)
	}
	f.talk(1, ">"+get, "<"+bad)
	f.want("failed body")
	for range 2 {
		if _, ok := f.set.Shed(); !ok {
			t.Fatal("nothing is shed")
		}
	}
	f.talk(1, ">"+get, "<"+bad)
	f.want("")
	if f.m.connections[1].decoding != nil || f.set.memory.Load() != 0 {
		t.Error("it is decoded for nobody")
	}
	for range 2 {
		if _, ok := f.set.Restore(); !ok {
			t.Fatal("nothing comes back")
		}
	}
	f.talk(1, ">"+get, "<"+bad, ">"+get, "<"+bad)
	if got := f.names(); !strings.Contains(got, "failed") || !strings.Contains(got, "body") {
		t.Errorf("in the middle of the connection: %q", got)
	}
}

// Another set goes on where the one before was.
func TestContinue(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "bytes", Bytes: []string{"-----BEGIN"}}, Trigger{Name: "slow", Where: "latency > 1s"}, Trigger{Name: "failed", Where: "failed"})
	var block bytes.Buffer
	henc := hpack.NewEncoder(&block)
	first, firstAnswer := grpcCall(t, henc, &block, 1, "/shop.Cart/Get", "0", "x")
	f.talk(1, ">"+preface(t)+first, "<"+firstAnswer)
	f.talk(2, ">"+get)
	f.talk(3, "<-----BE")
	f.talk(4, ">"+get)
	f.later(2 * time.Second)
	f.want("slow slow")
	replace := func(triggers ...Trigger) {
		t.Helper()
		set, err := Compile(triggers, Options{})
		if err != nil {
			t.Fatal(err)
		}
		set.Inherit(f.set)
		f.m = set.Continue(f.m, f.fire, f.at)
		if old := f.set; old.memory.Load() != 0 || old.connections.Load() != 0 {
			t.Errorf("the set before has %d bytes of %d connections", old.memory.Load(), old.connections.Load())
		}
		f.set = set
	}
	replace(Trigger{Name: "path", Where: `path == "/shop.Cart/Get"`}, Trigger{Name: "slow", Where: "latency > 1s"}, Trigger{Name: "bytes", Bytes: []string{"x", "-----BEGIN"}}, Trigger{Name: "slow2", Where: "latency > 1s"}, Trigger{Name: "header", Where: `request.headers["x-request-id"] == "77"`})
	if st := f.set.Status(); st.Triggers[1].Fired != 2 || st.Triggers[0].Fired != 0 {
		t.Errorf("status %+v", st)
	}
	f.talk(3, "<GIN")
	f.want("bytes")
	second, secondAnswer := grpcCall(t, henc, &block, 3, "/shop.Cart/Get", "0", "y") // its fields are in the table
	f.talk(1, ">"+second, "<"+secondAnswer)
	f.want("path")
	f.later(time.Second)
	f.want("slow2 slow2")
	f.talk(2, "<"+ok) // its request came before header fields were asked for
	f.want("")
	f.talk(2, ">"+get, "<"+ok)
	f.want("header")
	if st := f.set.Status().Triggers[4]; st.Unknown != 1 {
		t.Errorf("status %+v", st)
	}
	replace(Trigger{Name: "bytes", Bytes: []string{"x"}})
	f.talk(2, ">"+get, "<"+bad)
	f.want("")
	replace(Trigger{Name: "failed", Where: "failed"})
	f.talk(2, ">"+get, "<"+bad, ">"+get, "<"+bad)
	if got := f.names(); !strings.Contains(got, "failed") {
		t.Errorf("events %q", got)
	}
	replace()
	f.talk(2, ">"+get, "<"+bad)
	f.close(2, record.CloseRemote)
	f.want("")
}

// Matchers of one set run at the same time, while triggers are shed and come back.
func TestMatchersOfManyShards(t *testing.T) {
	t.Parallel()
	set, err := Compile([]Trigger{{Name: "failed", Where: "failed"}, {Name: "bytes", Bytes: []string{"timeout"}}, {Name: "body", Where: `response.body contains "timeout"`}}, Options{Decoders: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var stop sync.WaitGroup
	done := make(chan struct{})
	stop.Add(1)
	go func() {
		defer stop.Done()
		for {
			select {
			case <-done:
				return
			default:
				set.Shed()
				set.Status()
				set.Restore()
			}
		}
	}()
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			m := set.NewMatcher(func(Event) {})
			defer m.Stop()
			at := parsetest.Start.UnixNano()
			for i := range uint32(300) {
				slot := i % 50
				var next [2]uint64
				m.Open(slot, endpoint(i), record.PerDirection{}, at)
				for _, text := range []string{">" + get, "<" + bad, ">" + get, "<" + ok} {
					dir, _ := record.ParseArrow(text[0])
					m.Data(slot, dir, next[dir], at, []byte(text[1:]))
					next[dir] += uint64(len(text) - 1)
				}
				at += 1e7
				m.Tick(at)
				if i%2 == 0 {
					m.Close(slot, record.CloseRemote, record.PerDirection{In: next[0], Out: next[1]}, at)
				}
			}
		}()
	}
	all.Wait()
	close(done)
	stop.Wait()
	if memory, open := set.memory.Load(), set.connections.Load(); memory != 0 || open != 0 {
		t.Errorf("%d bytes of %d connections are accounted at the end", memory, open)
	}
}

// Whatever comes, in whatever order, nothing fails and what is accounted is right.
func TestRandomEntries(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../../../../protocol/*/testdata/*.talk")
	if err != nil {
		t.Fatal(err)
	}
	sessions := make([]parsetest.Session, len(files))
	for i, file := range files {
		sessions[i] = parsetest.Load(t, file)
	}
	sets := [][]Trigger{
		{{Name: "a", Where: "failed or latency > 100ms"}, {Name: "b", Bytes: []string{"SELECT", "\\x00\\x00"}}},
		{{Name: "a", Where: "failed or latency > 100ms"}, {Name: "c", Where: `response.body contains "x" or request.headers["a"] == "b" or latency / 2 > 1s`}},
		{{Name: "b", Bytes: []string{"SELECT"}, Direction: "in"}, {Name: "d", Close: []record.CloseReason{record.CloseRemote}}},
	}
	for round := range 30 {
		random := rand.New(rand.NewPCG(uint64(round), 3))
		f := newFeed(t, Options{Decoders: 256 << 10, Report: func(err error) {
			if !errors.Is(err, ErrDecoders) {
				t.Error(err)
			}
		}}, sets[random.IntN(len(sets))]...)
		at := map[uint32]parsetest.Session{}
		for range 3000 {
			slot := uint32(random.IntN(20))
			s := at[slot]
			if len(s) == 0 {
				if f.next[slot] != nil && random.IntN(2) == 0 {
					f.close(slot, []record.CloseReason{record.CloseRemote, record.CloseMoved}[random.IntN(2)])
				}
				s = sessions[random.IntN(len(sessions))]
				if random.IntN(4) == 0 {
					s = s[random.IntN(len(s)):]
				}
				if f.next[slot] == nil {
					base := uint64(random.IntN(2) * 100)
					f.open(slot, base, base)
				}
			}
			p := s[0]
			at[slot] = s[1:]
			f.at += random.Int64N(1e8)
			switch random.IntN(12) {
			case 0:
				f.gap(slot, p.Dir, len(p.Data))
			case 1:
				damaged := bytes.Clone(p.Data)
				for range 1 + len(damaged)/20 {
					if len(damaged) > 0 {
						damaged[random.IntN(len(damaged))] = byte(random.Uint32())
					}
				}
				f.data(slot, p.Dir, damaged)
			default:
				f.data(slot, p.Dir, p.Data)
			}
			switch random.IntN(200) {
			case 0:
				f.m.Tick(f.at)
			case 1:
				f.set.Shed()
			case 2:
				f.set.Restore()
			case 3:
				next, err := Compile(sets[random.IntN(len(sets))], Options{Decoders: 256 << 10})
				if err != nil {
					t.Fatal(err)
				}
				f.m, f.set = next.Continue(f.m, f.fire, f.at), next
			case 4:
				if state := f.m.Checkpoint(slot); state != nil {
					if _, err := protocol.Resume(&parsetest.Recorder{}, state); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		sum := int64(0)
		for _, c := range f.m.connections {
			if c != nil && c.decoding != nil {
				sum += int64(c.decoding.size)
			}
		}
		if memory := f.set.memory.Load(); memory != sum || f.set.Status().Panics != 0 {
			t.Fatalf("round %d: %d bytes are accounted of %d, %d panics", round, memory, sum, f.set.Status().Panics)
		}
	}
}

func TestCostIsMeasured(t *testing.T) {
	t.Parallel()
	f := newFeed(t, Options{}, Trigger{Name: "failed", Where: "failed"}, Trigger{Name: "bytes", Bytes: []string{"-----BEGIN"}}, Trigger{Name: "closes", Close: []record.CloseReason{record.CloseRemote}})
	start := time.Now()
	for range 500 {
		f.talk(1, ">"+get, "<HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"+strings.Repeat("x", 20_000))
	}
	f.m.Tick(f.at)
	took := time.Since(start)
	st := f.set.Status()
	sum := 0.0
	for _, s := range st.Triggers {
		sum += s.CPUSeconds
	}
	if st.Triggers[0].CPUSeconds <= 0 || st.Triggers[1].CPUSeconds <= 0 || st.Triggers[2].CPUSeconds != 0 || sum > 20*took.Seconds() {
		t.Errorf("in %v: %+v", took, st)
	}
	f.later(2 * time.Second)
	if ms := f.set.Status().Triggers[0].CPUMsPerS; ms < 0 {
		t.Errorf("%v ms a second", ms)
	}
}

func BenchmarkMatcher(b *testing.B) {
	text := strings.Repeat("x", 900)
	request, answer := []byte(get), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 900\r\n\r\n"+text)
	for _, c := range []struct {
		name     string
		triggers []Trigger
	}{
		{"close", []Trigger{{Name: "a", Close: []record.CloseReason{record.CloseRemote}}}},
		{"bytes", []Trigger{{Name: "a", Bytes: []string{"-----BEGIN", "panic: ", "OutOfMemoryError"}}}},
		{"where", []Trigger{{Name: "a", Where: "failed or latency > 2s"}}},
		{"headers", []Trigger{{Name: "a", Where: `request.headers["x-request-id"] == "78"`}}},
		{"bodies", []Trigger{{Name: "a", Where: `response.body contains "timeout"`}}},
		{"protocol", []Trigger{{Name: "a", Where: `protocol == "grpc" and failed`}}},
	} {
		b.Run(c.name+"/http1-1KiB", func(b *testing.B) {
			set, err := Compile(c.triggers, Options{})
			if err != nil {
				b.Fatal(err)
			}
			m := set.NewMatcher(func(Event) {})
			defer m.Stop()
			const many = 64
			var next [many][2]uint64
			for i := range uint32(many) {
				m.Open(i, endpoint(i), record.PerDirection{}, 0)
			}
			b.ReportAllocs()
			at := parsetest.Start.UnixNano()
			measure(b, len(request)+len(answer))
			for n := range b.N {
				slot := uint32(n % many)
				m.Data(slot, record.In, next[slot][0], at, request)
				m.Data(slot, record.Out, next[slot][1], at+1e6, answer)
				next[slot][0] += uint64(len(request))
				next[slot][1] += uint64(len(answer))
				at += 1e6
			}
		})
	}
	for _, many := range []int{10_000} {
		b.Run(fmt.Sprintf("tick/%d", many), func(b *testing.B) {
			set, err := Compile([]Trigger{{Name: "a", Where: "latency > 1h"}}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			m := set.NewMatcher(func(Event) {})
			defer m.Stop()
			at := parsetest.Start.UnixNano()
			for i := range uint32(many) {
				m.Open(i, endpoint(i), record.PerDirection{}, at)
				m.Data(i, record.In, 0, at, request)
			}
			measure(b, 0)
			for range b.N {
				at += 1e8
				m.Tick(at)
			}
		})
		b.Run("checkpoint/http2", func(b *testing.B) {
			set, err := Compile([]Trigger{{Name: "a", Where: "failed"}}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			m := set.NewMatcher(func(Event) {})
			defer m.Stop()
			var block bytes.Buffer
			call, _ := grpcCall(b, hpack.NewEncoder(&block), &block, 1, "/shop.Cart/Get", "0", "x")
			m.Open(1, endpoint(1), record.PerDirection{}, 0)
			m.Data(1, record.In, 0, 1, []byte(preface(b)+call))
			b.ReportAllocs()
			measure(b, 0)
			for range b.N {
				if m.Checkpoint(1) == nil {
					b.Fatal("none")
				}
			}
		})
		b.Run("checkpoint/http1", func(b *testing.B) {
			set, err := Compile([]Trigger{{Name: "a", Where: "failed"}}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			m := set.NewMatcher(func(Event) {})
			defer m.Stop()
			m.Open(1, endpoint(1), record.PerDirection{}, 0)
			m.Data(1, record.In, 0, 1, request)
			b.ReportAllocs()
			measure(b, 0)
			for range b.N {
				if m.Checkpoint(1) == nil {
					b.Fatal("none")
				}
			}
		})
	}
}
