package tcpcopy

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mosn.io/api"
	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/network"

	"mosn.io/tcpcopy/internal/oracle"
)

// fakeListeners is MOSN's listeners as a recorder sees them.
type fakeListeners struct {
	mu     sync.Mutex
	open   map[string]bool           // guarded by mu
	blocks map[string]map[string]any // guarded by mu
}

// attach makes the recorder of h see f, which has the listener "test".
func (f *fakeListeners) attach(h *harness) {
	f.open, f.blocks = map[string]bool{}, map[string]map[string]any{}
	f.add("test", object{})
	h.recorder.host.open = func(name string) bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.open[name]
	}
	h.recorder.host.listeners = func() map[string]map[string]any {
		f.mu.Lock()
		defer f.mu.Unlock()
		return maps.Clone(f.blocks)
	}
}

// add is what MOSN does when a listener has its filters.
func (f *fakeListeners) add(name string, config object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[name], f.blocks[name] = true, config
}

// remove is what MOSN does: its configuration keeps the listener.
func (f *fakeListeners) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[name] = false
}

// unfilter updates a listener so that its chain has the filter no more.
func (f *fakeListeners) unfilter(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.blocks, name)
}

// listen binds a listener and adds it, as MOSN does.
func (h *harness) listen(f *fakeListeners, name string, config object) error {
	h.t.Helper()
	_, err := h.tryBind(name, config)
	f.add(name, config)
	return err
}

// A part of the process is its owner's for as long as MOSN has the owner with its
// filter. Then the next block applies.
func TestOwnershipEndsWithTheListener(t *testing.T) {
	for name, leave := range map[string]func(*fakeListeners){
		"removed":            func(f *fakeListeners) { f.remove("test") },
		"without its filter": func(f *fakeListeners) { f.unfilter("test") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, object{"strategy": strategyOf(60), "buffer": object{"size": "1MiB"}, "guard": "on"})
			f := &fakeListeners{}
			f.attach(h)
			if got := h.recorder.status().Owners; fmt.Sprint(got) != "map[buffer:test guard:test output:test strategy:test]" {
				t.Errorf("owners %v", got)
			}
			other := object{"strategy": strategyOf(90), "output": object{"dir": t.TempDir(), "formats": []string{"pcapng"}}, "buffer": object{"size": "2MiB"}, "guard": "off"}
			if err := h.listen(f, "other", other); err == nil || !strings.Contains(err.Error(), "listener test") {
				t.Fatalf("beside the owner: %v", err)
			}
			leave(f)
			if s := h.recorder.status(); len(s.Owners) != 0 || len(s.Output.Listeners) != 0 || h.interval() != 60 {
				t.Errorf("after it has left: owners %v, listeners %v", s.Owners, s.Output.Listeners)
			}
			if err := h.listen(f, "other", other); err != nil {
				t.Fatal(err)
			}
			s := h.recorder.status()
			if s.Owners[partStrategy] != "other" || s.Owners[partGuard] != "other" || len(s.Owners) != 4 || len(s.Refused) != 0 || h.interval() != 90 ||
				s.Buffer.Size != 2<<20 || s.Guard.Enabled || fmt.Sprint(s.Output.Listeners, s.Output.Formats) != "[other] [pcapng]" {
				t.Errorf("the next block is not in force: owners %v, refused %v, output %+v", s.Owners, s.Refused, s.Output)
			}
			// The first one comes back: it is the later one now.
			f.add("test", object{})
			if err := h.listen(f, "test", object{"strategy": strategyOf(60)}); err == nil || !strings.Contains(err.Error(), "listener other") {
				t.Errorf("the first one again: %v", err)
			}
			if err := h.listen(f, "test", object{"strategy": strategyOf(90)}); err != nil {
				t.Errorf("the first one with the block in force: %v", err)
			}
		})
	}
}

// When the owner has gone, another listener with the same block owns the part; one
// without does not.
func TestOwnershipPassesToAListenerWithTheSameBlock(t *testing.T) {
	h := newHarness(t, object{"strategy": strategyOf(60)})
	f := &fakeListeners{}
	f.attach(h)
	for _, name := range []string{"same", "silent", "two"} {
		config := object{"strategy": strategyOf(60)}
		if name == "silent" {
			config = object{}
		}
		if err := h.listen(f, name, config); err != nil {
			t.Fatal(err)
		}
	}
	f.remove("test")
	if err := h.listen(f, "late", object{"strategy": strategyOf(90)}); err == nil || !strings.Contains(err.Error(), "listener same") {
		t.Errorf("%v", err)
	}
	f.remove("same")
	if err := h.listen(f, "late", object{"strategy": strategyOf(90)}); err == nil || !strings.Contains(err.Error(), "listener two") {
		t.Errorf("%v", err)
	}
	f.remove("two")
	if err := h.listen(f, "late", object{"strategy": strategyOf(90)}); err != nil || h.interval() != 90 {
		t.Errorf("%v", err)
	}
	// An owner that is replaced under its name by one without a block has none.
	if err := h.listen(f, "late", object{}); err != nil {
		t.Fatal(err)
	}
	if err := h.listen(f, "test", object{"strategy": strategyOf(120)}); err != nil || h.interval() != 120 {
		t.Errorf("%v, interval %d", err, h.interval())
	}
}

// A listener that has gone does not keep others from anything: not with its direction,
// and not with its refusal.
func TestARemovedListenerIsForgotten(t *testing.T) {
	h := newHarness(t, object{})
	f := &fakeListeners{}
	f.attach(h)
	if err := h.listen(f, "both", both); err != nil {
		t.Fatal(err)
	}
	hex := h.into(object{"output": object{"formats": []string{"hex"}}})
	if err := h.listen(f, "test", hex); err == nil {
		t.Fatal("hex beside a listener that records both directions")
	}
	f.remove("both")
	if err := h.listen(f, "test", hex); err != nil {
		t.Errorf("hex after it has gone: %v", err)
	}
	if err := h.listen(f, "bad", object{"guard": "maybe"}); err == nil {
		t.Fatal("accepted")
	}
	if err := h.listen(f, "differs", object{"output": object{"dir": "/elsewhere"}}); err == nil {
		t.Fatal("accepted")
	}
	if got := h.refusals(); len(got) != 2 {
		t.Errorf("refused %v", got)
	}
	f.remove("bad")
	f.remove("differs")
	if got := h.refusals(); len(got) != 0 {
		t.Errorf("refused after they have gone: %v", got)
	}
}

// A window that would record nothing is refused, with all that stands against it.
func TestAWindowThatWouldRecordNothingIsRefused(t *testing.T) {
	const target = "/api/v1/tcpcopy/window?seconds=60"
	for name, c := range map[string]struct {
		prepare func(h *harness, f *fakeListeners)
		words   []string // of the reason; none means that the window opens
	}{
		"bound":            {func(*harness, *fakeListeners) {}, nil},
		"removed":          {func(_ *harness, f *fakeListeners) { f.remove("test") }, []string{"listener test has been removed"}},
		"filter removed":   {func(_ *harness, f *fakeListeners) { f.unfilter("test") }, []string{"listener test has been removed, or its filter"}},
		"sample 0":         {func(h *harness, _ *fakeListeners) { h.bind("test", h.into(object{"capture": object{"sample": 0}})) }, []string{"capture.sample of listener test is 0"}},
		"update refused":   {func(h *harness, f *fakeListeners) { _ = h.listen(f, "test", object{"guard": "maybe"}) }, []string{"listener test is refused", "guard", "maybe"}},
		"one of two":       {func(h *harness, f *fakeListeners) { _ = h.listen(f, "bad", object{"guard": "maybe"}) }, nil},
		"removed, refused": {func(h *harness, f *fakeListeners) { f.remove("test"); _ = h.listen(f, "bad", object{"guard": "maybe"}) }, []string{"listener test has been removed", "listener bad is refused"}},
		"removed, other block refused": {func(h *harness, f *fakeListeners) {
			_ = h.listen(f, "bad", object{"output": object{"dir": "/proc/none"}})
			f.remove("test")
		}, []string{"listener bad is refused", "output differs"}},
		"many": {func(h *harness, f *fakeListeners) {
			f.remove("test")
			for i := range 20 {
				_ = h.listen(f, fmt.Sprint("bad", i), object{"guard": "maybe"})
			}
		}, []string{"and 17 more"}},
		"removed, with a connection": {func(h *harness, f *fakeListeners) { h.connect(h.factory); f.remove("test") }, nil},
		"removed, after a connection": {func(h *harness, f *fakeListeners) {
			h.connect(h.factory).end(api.RemoteClose)
			f.remove("test")
		}, []string{"listener test has been removed"}},
		"portraits alone": {func(h *harness, f *fakeListeners) {
			f.remove("test")
			h.recorder.mu.Lock()
			clear(h.recorder.listeners)
			h.recorder.mu.Unlock()
			if _, err := newPortraitFactory(h.recorder, object{}); err != nil {
				h.t.Error(err)
			}
		}, nil},
		"a host that binds with the first connection": {func(h *harness, f *fakeListeners) {
			f.remove("test")
			h.recorder.mu.Lock()
			clear(h.recorder.listeners)
			h.recorder.mu.Unlock()
			if _, err := newFactory(h.recorder, object{}); err != nil {
				h.t.Error(err)
			}
		}, nil},
		"nothing at all": {func(h *harness, f *fakeListeners) {
			f.remove("test")
			h.recorder.mu.Lock()
			clear(h.recorder.listeners)
			h.recorder.mu.Unlock()
		}, []string{"no listener has the tcpcopy filter"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, object{})
			f := &fakeListeners{}
			f.attach(h)
			c.prepare(h, f)
			a := &admin{recorder: h.recorder}
			for _, query := range []string{"", "&guard=off"} {
				code, answer, _ := h.request(a, "POST", target+query, "", nil)
				if len(c.words) == 0 {
					if code != http.StatusOK {
						t.Errorf("%d %v", code, answer)
					}
					h.request(a, "DELETE", "/api/v1/tcpcopy/window", "", nil)
					continue
				}
				reason, _ := answer["error"].(string)
				if code != http.StatusConflict {
					t.Errorf("%d %v", code, answer)
				}
				for _, word := range c.words {
					if !strings.Contains(reason, word) {
						t.Errorf("%q does not have %q", reason, word)
					}
				}
				skipped := h.recorder.status().Skipped
				if n := len(skipped.List); n == 0 || skipped.List[n-1].Reason != "listener" || skipped.Reason != reason {
					t.Errorf("the status has %+v", skipped)
				}
			}
			if all, err := oracle.ReadIndex(h.dir); len(c.words) > 0 && (err == nil && len(all) > 0) {
				t.Errorf("the index has %+v", all)
			}
		})
	}
}

// The recorder knows MOSN's listeners from the listeners themselves.
func TestOpenListenersFollowMOSNsList(t *testing.T) {
	all := &openListeners{}
	if !all.has("a") {
		t.Error("a listener is gone although nothing is known")
	}
	factory := all.factory(network.NewListener)
	a := &v2.Listener{}
	a.Name = "a"
	first := factory(a)
	if !all.has("a") || !all.has("b") {
		t.Error("a listener is gone although none has been listed")
	}
	first.SetListenerCallbacks(nil)
	first.SetListenerCallbacks(nil)
	if !all.has("a") || all.has("b") {
		t.Error("a is not listed, or b is")
	}
	second := factory(a) // of another server of the process
	second.SetListenerCallbacks(nil)
	for _, l := range []interface{ Name() string }{first, second} {
		if l.Name() != "a" {
			t.Errorf("name %s", l.Name())
		}
	}
	if err := first.Close(context.Background()); err != nil {
		t.Error(err)
	}
	_ = first.Close(context.Background())
	if !all.has("a") {
		t.Error("a is gone while one of that name is open")
	}
	_ = second.Close(context.Background())
	if all.has("a") {
		t.Error("a is listed after it was closed")
	}
	second.Start(context.Background(), true)
	if !all.has("a") {
		t.Error("a is not listed after it was started anew")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		l := factory(a)
		go func() {
			defer wg.Done()
			for range 100 {
				l.SetListenerCallbacks(nil)
				all.has("a")
				_ = l.Close(context.Background())
			}
		}()
	}
	wg.Wait()
	if got := slices.Collect(maps.Values(all.open)); len(got) != 1 || got[0] != 1 {
		t.Errorf("counts %v", got)
	}
}
