package mix

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
)

// enough is how many calls the mix has.
func enough(t *testing.T) int {
	if text := os.Getenv("MIX_CALLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if raceEnabled || testing.Short() {
		return 1
	}
	return 20000
}

// Whatever clients and servers know of their calls, the decoders find in the recording.
func TestRecordedMix(t *testing.T) {
	list := all()
	if only := os.Getenv("MIX_ONLY"); only != "" { // "server" or "server/name", to look for a fault
		list = slices.DeleteFunc(list, func(s scenario) bool { return !strings.HasPrefix(s.server+"/"+s.name+"/", only+"/") })
	}
	r := recordMix(t, list, enough(t))
	if os.Getenv("MIX_ONLY") == "" {
		r.complete(t)
	}
	for _, format := range []dump.Format{dump.FormatHex, dump.FormatPcapng} {
		t.Run(string(format), func(t *testing.T) { r.compare(t, format) })
	}
	t.Run("tshark", func(t *testing.T) { r.tshark(t) })
}

// complete checks that every protocol is in the mix.
func (r *recording) complete(t *testing.T) {
	calls := map[string]int{}
	for _, p := range r.paths {
		for i := range p.calls {
			calls[p.calls[i].Protocol]++
		}
	}
	for _, name := range append(protocol.Names(), call.GRPC) {
		if calls[name] == 0 {
			t.Errorf("there is no call of %s", name)
		}
	}
	t.Logf("calls by protocol: %v", calls)
}

// decoded are the decoded calls by listener and link.
func (r *recording) decoded(t *testing.T, format dump.Format) map[string][]calls.Call {
	t.Helper()
	d, err := dump.Open([]string{r.dump}, dump.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	byConn := map[string][]calls.Call{}
	n := 0
	station := calls.New(calls.Options{}, func(c *calls.Call) error {
		byConn[c.Conn] = append(byConn[c.Conn], *c)
		n++
		return nil
	})
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := station.Add(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := station.Finish(); err != nil {
		t.Fatal(err)
	}
	if c := station.Coverage(); c.Lost != 0 || c.Seen == 0 {
		t.Errorf("coverage %+v", c)
	}
	t.Logf("%d calls of %d connections", n, len(byConn))
	conns := slices.Collect(maps.Keys(byConn))
	first := func(conn string) time.Time {
		list := byConn[conn]
		at := list[0].Time()
		for i := range list {
			if t := list[i].Time(); t.Before(at) {
				at = t
			}
		}
		return at
	}
	slices.SortFunc(conns, func(a, b string) int { return first(a).Compare(first(b)) })
	found := map[string][]calls.Call{}
	for _, conn := range conns {
		list := byConn[conn]
		sort.SliceStable(list, func(i, j int) bool { return list[i].N < list[j].N })
		key := list[0].Listener + " " + list[0].Peer
		for n := 1; found[key] != nil; {
			n++
			key = fmt.Sprintf("%s %s/%d", list[0].Listener, list[0].Peer, n)
		}
		found[key] = list
	}
	return found
}

// faults are differences between what was decoded and what was noted, by what they are about.
type faults struct {
	t     *testing.T
	count map[string]int
	shown map[string]int
	most  int // of each protocol
}

// add keeps a fault; the first ones of each protocol are shown.
func (f *faults) add(protocol, about, format string, args ...any) {
	f.count[protocol+" "+about]++
	if f.shown[protocol]++; f.shown[protocol] <= f.most {
		f.t.Errorf("%s: %s: %s", protocol, about, fmt.Sprintf(format, args...))
	}
}

func (r *recording) compare(t *testing.T, format dump.Format) {
	found := r.decoded(t, format)
	f := &faults{t, map[string]int{}, map[string]int{}, 10}
	if os.Getenv("MIX_ONLY") != "" {
		f.most = 200
	}
	checked := 0
	for _, p := range r.paths {
		noted := map[string][]witness.Call{}
		for _, c := range p.calls {
			noted[c.Conn] = append(noted[c.Conn], c)
		}
		for _, link := range p.path.Links() {
			if len(noted[link.ID]) == 0 {
				continue // the scenario says nothing of it
			}
			for _, dir := range record.Directions() {
				if !link.Whole(dir) {
					t.Logf("%s: the two ends of %s have not had the same bytes %s", p.server, link.ID, dir)
				}
			}
			c := &comparison{faults: f, server: p.server, link: link, format: format}
			checked += c.run(noted[link.ID], found[p.listener+" "+link.ID])
		}
	}
	t.Logf("%d calls compared", checked)
	if len(f.count) > 0 {
		var lines []string
		for what, n := range f.count {
			lines = append(lines, fmt.Sprintf("%6d %s", n, what))
		}
		sort.Strings(lines)
		t.Errorf("differences:\n%s", strings.Join(lines, "\n"))
	}
}

// comparison is of one connection.
type comparison struct {
	*faults
	server string
	link   *witness.Link
	format dump.Format
}

// run compares the calls with a request in their order, and those without.
func (c *comparison) run(noted []witness.Call, found []calls.Call) int {
	var with, without []witness.Call
	for _, n := range noted {
		if n.NoRequest {
			without = append(without, n)
		} else {
			with = append(with, n)
		}
	}
	sort.SliceStable(without, func(i, j int) bool {
		return without[i].Response != nil && without[j].Response != nil && without[i].Response.Offset < without[j].Response.Offset
	})
	var has, hasNot []calls.Call
	for i, f := range found {
		if f.N != uint64(i+1) {
			c.add(f.Protocol, "number", "call %d has the number %d", i+1, f.N)
		}
		if f.Request.Present {
			has = append(has, f)
		} else {
			hasNot = append(hasNot, f)
		}
	}
	return c.list(with, has) + c.list(without, hasNot)
}

func (c *comparison) list(noted []witness.Call, found []calls.Call) int {
	n := min(len(noted), len(found))
	for i := range n {
		c.one(&noted[i], &found[i])
	}
	if len(noted) != len(found) {
		protocol := c.server
		if len(noted) > 0 {
			protocol = noted[0].Protocol
		}
		var next string
		if n < len(found) {
			next = fmt.Sprintf("; next is %s %s %q", found[n].Protocol, found[n].Method, short(found[n].Target))
		} else {
			next = fmt.Sprintf("; next noted is %s %s %q", noted[n].Protocol, noted[n].Method, short(noted[n].Target))
		}
		c.add(protocol, "number of calls", "%d are noted, %d decoded on %s%s", len(noted), len(found), c.link.ID, next)
	}
	return n
}

func (c *comparison) one(w *witness.Call, g *calls.Call) {
	where := fmt.Sprintf("%s: %s %q", g.ID(), w.Method, short(w.Target))
	same := func(about string, got, want any) bool {
		if got != want {
			c.add(w.Protocol, about, "%s: got %v, want %v", where, got, want)
			return false
		}
		return true
	}
	if !same("protocol", g.Protocol, w.Protocol) {
		return
	}
	same("method", g.Method, w.Method)
	cut, isCut := strings.CutSuffix(g.Target, "…") // as of a long statement
	isCut = isCut && len(cut) >= 4096 && strings.HasPrefix(w.Target, cut)
	if !isCut && (w.OrTarget == "" || g.Target != w.OrTarget) {
		same("target", g.Target, w.Target)
	}
	if !w.Undecided {
		same("status", g.Status, w.Status)
		same("code", g.Code, w.Code)
		same("failed", g.Failed, w.Failed)
		same("an answer", g.Response.Present, !w.NoAnswer)
	}
	same("host", g.Host, w.Host)
	same("service", g.Service, w.Service)
	same("interleaved", g.Interleaved, w.Interleaved)
	if words := g.Incomplete.Words(); len(words) > 0 {
		if got := strings.Join(words, " "); !(got == "no_answer" && (w.NoAnswer || w.Undecided)) && !(got == "no_request" && w.NoRequest) {
			c.add(w.Protocol, "incomplete", "%s: %s", where, got)
		}
	}
	ranges := func(about string, got call.Range, want *witness.Range) {
		if want != nil {
			same(about, witness.Range(got), *want)
		}
	}
	ranges("request's range", g.Request.Range, w.Request)
	if w.Undecided {
		return
	}
	ranges("response's range", g.Response.Range, w.Response)
	if w.RequestBody != nil {
		ranges("request's body", g.Request.Body, w.RequestBody)
	}
	if w.ResponseBody != nil {
		ranges("response's body", g.Response.Body, w.ResponseBody)
	}
	c.times(where, w, g)
}

// times checks the times of a call against those between which the proxy must have seen its bytes.
func (c *comparison) times(where string, w *witness.Call, g *calls.Call) {
	const tolerance = time.Millisecond
	within := func(about string, dir record.Direction, offset uint64, got time.Time) {
		from, to, ok := c.link.Passed(dir, offset)
		if !ok || got.IsZero() {
			if ok {
				c.add(w.Protocol, about, "%s: no time", where)
			}
			return
		}
		if got.Before(from.Add(-tolerance)) || got.After(to.Add(tolerance)) {
			c.add(w.Protocol, about, "%s: %v is not in %v … %v", where, got.Format(time.StampNano), from.Format(time.StampNano), to.Format(time.StampNano))
		}
	}
	first := func(r *witness.Range, final uint64) uint64 {
		if final != 0 {
			return final
		}
		return r.Offset
	}
	if w.Request != nil {
		within("request's first byte", record.In, w.Request.Offset, g.Request.First)
		within("request's last byte", record.In, w.Request.Offset+w.Request.Length-1, g.Request.Last)
	}
	if w.Response != nil {
		within("response's first byte", record.Out, first(w.Response, w.Final), g.Response.First)
		within("response's last byte", record.Out, w.Response.Offset+w.Response.Length-1, g.Response.Last)
	}
	if w.Request == nil || w.Response == nil || w.Interleaved {
		return
	}
	latency, ok := g.Latency()
	if ok == w.NoLatency {
		c.add(w.Protocol, "latency", "%s: known: %v", where, ok)
	}
	if !ok {
		return
	}
	asked0, asked1, ok0 := c.link.Passed(record.In, w.Request.Offset+w.Request.Length-1)
	told0, told1, ok1 := c.link.Passed(record.Out, first(w.Response, w.Final))
	if !ok0 || !ok1 {
		return
	}
	if least, most := max(told0.Sub(asked1), 0), max(told1.Sub(asked0), 0); latency < least-tolerance || latency > most+tolerance {
		c.add(w.Protocol, "latency", "%s: %v is not in %v … %v", where, latency, least, most)
	}
}
