package tcpcopy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// liveReader is a caller of the stream request.
type liveReader struct {
	window string
	body   io.ReadCloser
	leave  context.CancelFunc
}

// live sends a request for a live-only window.
func (h *harness) live(parameters string) *liveReader {
	h.t.Helper()
	server := httptest.NewServer(http.HandlerFunc((&admin{recorder: h.recorder}).stream))
	h.t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(context.Background())
	h.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+streamPath+"?record=live"+parameters, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		h.t.Fatalf("%s: %s", answer.Status, text)
	}
	return &liveReader{window: answer.Header.Get(windowHeader), body: answer.Body, leave: cancel}
}

// until reads the stream until it has text.
func (l *liveReader) until(t *testing.T, text string) {
	t.Helper()
	var all []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(all, []byte(text)) {
		n, err := l.body.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			t.Fatalf("%q and %v, want %q", all, err, text)
		}
	}
}

// line returns the window's index line.
func (h *harness) line(window string) (w oracle.Window) {
	h.t.Helper()
	eventually(h.t, "the line of a live-only window", func() bool {
		found, err := oracle.FindWindow(h.dir, window)
		w = found
		return err == nil
	})
	return w
}

func (h *harness) force(word string) {
	h.t.Helper()
	config := model.DefaultDumpConfig()
	config.Switch = word
	if err := h.recorder.controller.Set(model.LayerGlobal, config, "test"); err != nil {
		h.t.Fatal(err)
	}
}

// A live-only window records without any other, beside those that come and go, and ends with
// its reader.
func TestALiveOnlyWindowEndsWithItsReader(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	c.receive("before")
	l := h.live("")
	c.receive("alone. ")
	l.until(t, "alone. ")
	w := h.window(func() {
		s := h.recorder.status()
		if len(s.Windows) != 2 || s.Window == nil || s.Windows[0].ID != s.Window.ID || s.Windows[1].ID != l.window || s.Windows[1].Trigger != "live" || s.Windows[1].Closes != nil || s.Windows[1].Accounts.Seen.In != 7 {
			t.Errorf("windows %+v", s.Windows)
		}
		c.receive("in a window. ")
		c.send("answered. ")
	})
	c.receive("and after it.")
	l.until(t, "and after it.")
	l.leave()
	if got := h.line(l.window); got.Trigger != "live" || got.Seen != got.Written || got.Written != (oracle.PerDirection{In: 33, Out: 10}) || len(got.Files) > 0 || got.Connections != 1 {
		t.Errorf("line %+v", got)
	}
	if w.Written != (oracle.PerDirection{In: 13, Out: 10}) || w.Seen != w.Written {
		t.Errorf("window %+v", w)
	}
	eventually(t, "the end", func() bool {
		s := h.recorder.status()
		return len(s.Windows) == 0 && s.Live.Streams == 0 && h.recorder.gate.Load() == nil
	})
	for _, c := range h.connections() {
		if c.Window == l.window {
			t.Error("the flow log has the live-only window")
		}
	}
}

// FORCE_OFF ends the stream at once, and refuses others; so does the end of the process.
func TestForceOffEndsALiveOnlyWindow(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	l := h.live("&guard=off")
	c.receive("to the end")
	h.force("FORCE_OFF")
	c.receive("too late")
	if h.recorder.gate.Load() != nil {
		t.Error("something is recorded under FORCE_OFF")
	}
	all, err := io.ReadAll(l.body)
	if err != nil || !bytes.Contains(all, []byte("to the end")) || bytes.Contains(all, []byte("too late")) {
		t.Errorf("%q, %v", all, err)
	}
	if w := h.line(l.window); w.Written.In != 10 || w.Guard != "off" {
		t.Errorf("line %+v", w)
	}
	if code, answer := h.askStream("?record=live"); code != 409 || !strings.Contains(answer, "FORCE_OFF") {
		t.Errorf("%d %s", code, answer)
	}
	h.force("OFF")
	l = h.live("")
	c.receive("again")
	h.recorder.close(false)
	if all, err := io.ReadAll(l.body); err != nil || !bytes.Contains(all, []byte("again")) {
		t.Errorf("%q, %v", all, err)
	}
	if w, err := oracle.FindWindow(h.dir, l.window); err != nil || w.Written.In != 5 {
		t.Errorf("line %+v, %v", w, err)
	}
}

// askStream sends a request for a stream that is refused.
func (h *harness) askStream(query string) (int, string) {
	h.t.Helper()
	code, answer, _ := h.request(&admin{recorder: h.recorder}, "GET", streamPath+query, "", nil)
	text, _ := answer["error"].(string)
	return code, text
}

func TestBadRequestsForAStreamAreRefused(t *testing.T) {
	h := newHarness(t, both)
	for query, want := range map[string]string{
		"?record=now":              `record is "now", valid: live`,
		"?record=":                 `record is ""`,
		"?record=live&record=live": `record is "live,live"`,
		"?record=live&guard=maybe": `guard is "maybe"`,
		"?guard=off":               `guard is "off", valid: only with record=live`,
		"?record=%zz":              "%zz",
	} {
		if code, answer := h.askStream(query); code != 400 || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", query, code, answer)
		}
	}
	for range 4 {
		h.live("")
	}
	if code, answer := h.askStream("?record=live"); code != 503 || !strings.Contains(answer, "as many live streams") {
		t.Errorf("%d %s", code, answer)
	}
}

// An output that is replaced ends the live-only windows of the former, and the next ones are
// in the new one.
func TestAReplacedOutputEndsItsLiveOnlyWindows(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	l := h.live("")
	c.receive("first")
	old := h.dir
	h.dir = t.TempDir()
	h.bind("test", h.into(both))
	if _, err := io.ReadAll(l.body); err != nil {
		t.Error(err)
	}
	h.recorder.retiring.Wait()
	if w, err := oracle.FindWindow(old, l.window); err != nil || w.Written.In != 5 {
		t.Errorf("line %+v, %v", w, err)
	}
	l = h.live("")
	c.receive("second")
	l.until(t, "second")
	l.leave()
	if w := h.line(l.window); w.Written.In != 6 {
		t.Errorf("line %+v", w)
	}
}

// The flight recorder's ring comes and goes while a live-only window is open.
func TestALiveOnlyWindowGoesOnAsTheRingComesAndGoes(t *testing.T) {
	h := newHarness(t, both)
	c := h.connect(h.factory)
	l := h.live("")
	said := 0
	say := func(text string) {
		c.receive(text)
		said += len(text)
		l.until(t, text)
	}
	say("without a ring")
	for _, size := range []string{"1MiB", "2MiB", "0"} {
		f, err := parseFlightText([]byte(`{"size": "` + size + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.recorder.installFlight(f, "test"); err != nil {
			t.Fatal(err)
		}
		c.receive("meanwhile")
		said += len("meanwhile")
		if size == "0" {
			eventually(t, "the end of the ring", func() bool { return h.recorder.ring.Load() == nil })
		} else {
			eventually(t, "a ring", func() bool { s := h.recorder.flight.Status(); return s.On && s.Config.Size>>20 == int64(size[0]-'0') })
		}
		say("a ring of " + size)
	}
	l.leave()
	if w := h.line(l.window); w.Seen != w.Written || w.Written.In != uint64(said) || w.Connections != 1 {
		t.Errorf("line %+v, want %d bytes", w, said)
	}
	eventually(t, "nothing is recorded", func() bool { return h.recorder.gate.Load() == nil })
}

// Nothing that nobody would record is opened.
func TestALiveOnlyWindowNeedsSomethingToRecord(t *testing.T) {
	h := newHarness(t, object{"capture": object{"sample": 0.0}})
	if code, answer := h.askStream("?record=live"); code != 409 || !strings.Contains(answer, "nothing would be recorded") {
		t.Errorf("%d %s", code, answer)
	}
	if s := h.recorder.status(); len(s.Skipped.List) != 1 || s.Skipped.List[0].Trigger != "live" {
		t.Errorf("skipped %+v", s.Skipped)
	}
}
