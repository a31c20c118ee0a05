package test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// A changed ConfigMap switches a running process on and off.
func TestAConfigMapSwitchesARunningProcess(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	mount := newConfigMap(t, filepath.Join(base, "mount"))
	const (
		on  = `{"app": {"switch": "ON", "interval": 3600, "duration": 1}}`
		off = `{"app": {"switch": "OFF"}}`
		bad = `{"app": {"switch": "OFF", "interval": 5}}`
	)
	mount.put(off)
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy()))
	config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: block{"watch": mount.file()}}}
	m := start(t, base, config)

	took := pace{m: m}
	for range 4 {
		for _, want := range []struct{ text, effective string }{{on, "ON"}, {off, "OFF"}} {
			swapped := mount.put(want.text)
			eventually(t, "the switch is "+want.effective, func() bool { return m.steering().Switch.Effective == want.effective })
			// What the process says of the moment does not depend on when it was asked.
			took.add(m.steering().Switch.AppChange.Time.Sub(swapped))
		}
	}
	took.check("changes are in force", time.Second)
	if first := slices.Min(took.delays); first < 0 {
		t.Errorf("a change was in force %v before it was made", -first)
	}

	mount.put(on)
	eventually(t, "the switch is ON", func() bool { return m.steering().Switch.Effective == "ON" })
	swapped := mount.put(bad)
	eventually(t, "the bad file is refused", func() bool { return m.steering().Watch.Error != "" })
	s := m.steering()
	t.Logf("a bad file was refused after %v", s.Watch.Time.Sub(swapped))
	if s.Switch.Effective != "ON" || s.Switch.App.Interval != 3600 || s.Watch.Path != mount.file() {
		t.Errorf("a refused file has changed something: %+v", s)
	}
	for what, text := range map[string]string{"status": s.Watch.Error, "layer's change": s.Switch.AppChange.Error, "log": m.Log()} {
		for _, word := range []string{"app.interval", "5", "30 … 3600"} {
			if !strings.Contains(text, word) {
				t.Errorf("the %s does not name %q", what, word)
			}
		}
	}
	if n := strings.Count(m.Log(), mount.file()+" is refused"); n != 1 {
		t.Errorf("the log reports one bad file %d times", n)
	}
	mount.put(off)
	eventually(t, "a good file after the bad one is in force", func() bool {
		s := m.steering()
		return s.Switch.Effective == "OFF" && s.Watch.Error == ""
	})
}

// Whoever changes a layer, the status says who was the last, when, and how it
// ended.
func TestTheStatusNamesWhoChangedALayer(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	file := filepath.Join(base, "switch.json") // appears later
	config := configOf(upstream(t, echo), mosnproc.NewListener("tcp", address,
		recorder(base, block{"strategy": block{"switch": "ON", "interval": 3600, "duration": 5}}), mosnproc.TCPProxy()))
	config.Extends = []mosnproc.Filter{{Type: "tcpcopy", Config: block{
		"global": block{"switch": "OFF", "interval": 1800, "duration": 5}, "watch": file,
	}}}
	m := start(t, base, config)
	type want struct {
		effective   string
		app, global string // source
		appOn       string
		appErr      string // word of the refusal
		globalErr   string
	}
	began := time.Now().Add(-timeout)
	check := func(when string, w want) {
		t.Helper()
		s := m.steering().Switch
		if s.Effective != w.effective || s.App.Switch != w.appOn {
			t.Errorf("%s: switch %s, app %+v, global %+v", when, s.Effective, s.App, s.Global)
		}
		for _, l := range []struct {
			name, source, err string
			change            layerChange
		}{{"app", w.app, w.appErr, s.AppChange}, {"global", w.global, w.globalErr, s.GlobalChange}} {
			c := l.change
			if !strings.Contains(c.Source, l.source) || (c.Error == "") != (l.err == "") || !strings.Contains(c.Error, l.err) ||
				c.Time.Before(began) || c.Time.After(time.Now()) {
				t.Errorf("%s: the last change of layer %s is %+v, want one of %q, refused for %q", when, l.name, c, l.source, l.err)
			}
		}
	}
	write := func(text string) {
		t.Helper()
		handled := m.steering().Watch.Time
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file is handled", func() bool { return m.steering().Watch.Time.After(handled) })
	}
	const admin, watched, extends = "admin request from 127.0.0.1", "switch.json", "extends"

	check("at the start", want{effective: "ON", app: "listener tcp", global: extends, appOn: "ON"})
	write(`{"app": {"switch": "OFF"}, "global": {"switch": "FORCE_OFF"}}`)
	check("after the file has appeared", want{effective: "OFF", app: watched, global: watched, appOn: "OFF"})
	if err := m.Admin.Configure(deadline(t), "global", `{"switch": "ON", "interval": 3600, "duration": 5}`); err != nil {
		t.Fatal(err)
	}
	check("after an admin request", want{effective: "ON", app: watched, global: admin, appOn: "OFF"})
	refusedWith(t, m.Admin.Configure(deadline(t), "app", `{"switch": "FORCE_OFF"}`), http.StatusBadRequest, "switch")
	check("after a bad admin request", want{effective: "ON", app: admin, appErr: "switch", global: admin, appOn: "OFF"})
	write(`{"app": {"switch": "ON"}, "global": {"duration": 0}}`)
	check("after a bad file", want{effective: "ON", app: watched, appErr: "global.duration", global: watched, globalErr: "global.duration", appOn: "OFF"})
	write(`{"app": {"switch": "ON"}, "global": {"switch": "OFF"}}`)
	check("after a good file", want{effective: "ON", app: watched, global: watched, appOn: "ON"})

	log := m.Log()
	for _, line := range []string{"app config from listener tcp", "global config from extends block", "app config from watched file " + file, "global config from " + admin} {
		if !strings.Contains(log, line) {
			t.Errorf("the log does not have the %s", line)
		}
	}
}
