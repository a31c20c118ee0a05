package tcpcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
)

// mutations is how many documents of each kind the tests below make out of valid
// ones. Each must be accepted or refused with a reason.
const mutations = 3000

// mutator changes JSON documents.
type mutator struct{ *rand.Rand }

func newMutator(seed int64) mutator { return mutator{rand.New(rand.NewSource(seed))} }

// values are what a field may be set to: right and wrong types, limits and beyond.
func (m mutator) value() any {
	numbers := []any{0, 1, -1, 29, 30, 31, 99.9, 100, 3600, 3601, 1e18, 1e300, -1e300, 0.5, json.Number("1e999"), 1 << 40}
	words := []any{
		"", "ON", "OFF", "FORCE_OFF", "on", "off", "both", "request", "hex", "hex_meta", "pcapng", "auto", "5%", "100%", "-1%", "NaN%",
		"64MiB", "0", "1e9", "0x10", "1 parsec", "9223372036854775807", "99999999TiB", "10.0.0.0/8", "::1", "10.0.0.0/99",
		"size=1", "size=0 keep=-1", "time=25", "compress=maybe", "\x00", "\ufffd\n", strings.Repeat("x", 5000),
	}
	others := []any{nil, true, false, []any{}, object{}, []any{"hex", "hex"}, []any{nil}, []any{1, "a"}, object{"switch": "ON"}, object{"": nil}}
	all := [][]any{numbers, words, others}[m.Intn(3)]
	return all[m.Intn(len(all))]
}

// change returns v with something in it changed, at any depth.
func (m mutator) change(v any) any {
	switch v := v.(type) {
	case object:
		if len(v) == 0 || m.Intn(8) == 0 {
			return m.value()
		}
		names := slices.Sorted(maps.Keys(v))
		name := names[m.Intn(len(names))]
		changed := maps.Clone(v)
		switch m.Intn(6) {
		case 0:
			delete(changed, name)
		case 1:
			changed[name+"s"] = v[name]
		case 2:
			changed[name] = v[names[m.Intn(len(names))]] // another field's
		default:
			changed[name] = m.change(v[name])
		}
		return changed
	case []any:
		if len(v) == 0 || m.Intn(4) == 0 {
			return append(slices.Clone(v), m.value())
		}
		changed := slices.Clone(v)
		at := m.Intn(len(v))
		changed[at] = m.change(v[at])
		return changed
	default:
		return m.value()
	}
}

// document returns one of the texts with one to three changes of its content or,
// as often, of its characters.
func (m mutator) document(texts []string) string {
	text := texts[m.Intn(len(texts))]
	for range 1 + m.Intn(3) {
		var v any
		if m.Intn(2) == 0 && json.Unmarshal([]byte(text), &v) == nil {
			if changed, err := json.Marshal(m.change(v)); err == nil {
				text = string(changed)
			}
			continue
		}
		text = m.garble(text)
	}
	return text
}

// garble changes characters.
func (m mutator) garble(text string) string {
	if text == "" {
		return "{"
	}
	from := m.Intn(len(text))
	to := min(len(text), from+1+m.Intn(20))
	switch m.Intn(5) {
	case 0:
		return text[:from] + string(rune(m.Intn(256))) + text[from+1:]
	case 1:
		return text[:from] + text[to:]
	case 2:
		return text[:to] + text[from:]
	case 3:
		return text[:from]
	default:
		return text[:from] + []string{`"`, "{", "}", "null", "//", "\x00", "1e400", "[[[[", `\u0000`, ","}[m.Intn(10)] + text[from:]
	}
}

// tally counts what became of the documents, of which some must be good and some
// bad, or they would prove little.
func tally(t *testing.T, accepted, refused int) {
	t.Helper()
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted < mutations/50 || refused < mutations/50 {
		t.Errorf("%d accepted and %d refused of %d", accepted, refused, mutations)
	}
}

// reasoned fails the test when err does not say what is wrong.
func reasoned(t *testing.T, err error, document string) {
	t.Helper()
	if len(err.Error()) < len("tcpcopy: x") {
		t.Errorf("%q is refused for %q", document, err)
	}
}

func TestMutatedFilterConfigurationsAreRefusedOrValid(t *testing.T) {
	valid := []string{
		`{}`,
		`{"strategy": {"switch": "ON", "interval": 30, "duration": 10, "cpu_max_rate": 80, "mem_max_rate": 80}}`,
		`{"strategy": {"switch": "OFF", "interval": 3600, "duration": 3599, "cpu_max_rate": 0.1, "mem_max_rate": 99.9},
		  "capture": {"direction": "both", "peers": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"], "sample": 0.5, "max_bytes_per_connection": "1MiB"},
		  "output": {"dir": "/somewhere/dump", "formats": ["hex_meta", "pcapng"], "roll": "size=256 age=7 keep=10 compress=on", "max_total": "10GiB", "min_free": "5%"},
		  "buffer": {"size": "64MiB", "workers": 2, "spool": "off"}, "guard": "off"}`,
		`{"output": {"formats": ["hex"], "max_total": 0, "min_free": "1GiB"}, "buffer": {"size": 1048576, "spool": "/somewhere/spool"}, "guard": "on"}`,
	}
	m := newMutator(1)
	accepted, refused := 0, 0
	for range mutations {
		document := m.document(valid)
		var config object
		if json.Unmarshal([]byte(document), &config) != nil {
			config, _ = m.change(object{"strategy": object{"switch": "ON"}, "capture": object{}, "guard": "on"}).(object)
			document = fmt.Sprint(config)
		}
		s, err := parseSettings(config)
		if err != nil {
			refused++
			reasoned(t, err, document)
			continue
		}
		accepted++
		if s.strategy != nil {
			if err := s.strategy.Validate(model.LayerApp); err != nil {
				t.Errorf("%s is accepted: %v", document, err)
			}
		}
		if c := s.scope; !(c.sample >= 0 && c.sample <= 1) {
			t.Errorf("%s is accepted: sample %v", document, c.sample)
		}
		for _, p := range s.scope.peers {
			if !p.IsValid() {
				t.Errorf("%s is accepted: peers %v", document, s.scope.peers)
			}
		}
		// The directory is the store's to judge, and not to be made here.
		o := s.output
		if o == nil {
			o = &outputSettings{formats: []persistence.Format{persistence.FormatHex}}
		}
		o.dir = "/somewhere"
		c, err := storeConfig(o, s.buffer, persistence.DefaultRoll())
		if err := errors.Join(append(c.Validate(), err)...); err != nil {
			t.Errorf("%s is accepted: %v", document, err)
		}
	}
	tally(t, accepted, refused)
}

func TestMutatedExtensionsAreRefusedOrValid(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	valid := []string{
		`{"app": {"switch": "ON", "interval": 60, "duration": 5}, "global": {"switch": "FORCE_OFF"}, "watch": "/etc/tcpcopy.json"}`,
		fmt.Sprintf(`{"global": {"switch": "OFF", "cpu_max_rate": 12.5}, "token_file": %q}`, token),
	}
	m := newMutator(2)
	accepted, refused := 0, 0
	for range mutations {
		document := m.document(valid)
		e, err := parseExtension([]byte(document))
		if err != nil {
			refused++
			reasoned(t, err, document)
			continue
		}
		accepted++
		if e.watch != "" && !filepath.IsAbs(e.watch) || e.token != nil && !filepath.IsAbs(e.token.Path()) {
			t.Errorf("%s is accepted: %+v", document, e)
		}
		for layer, c := range e.layers {
			if err := c.Validate(layer); err != nil {
				t.Errorf("%s is accepted: %v", document, err)
			}
		}
	}
	tally(t, accepted, refused)
}

// mutationRecorder is a recorder that must not record anything in the time that a
// test takes.
func mutationRecorder(t *testing.T) *recorder {
	t.Helper()
	r := newRecorder("mutate", host{log: silentLog{}, roller: func() string { return "" }, meter: idleMeter{}})
	t.Cleanup(func() { r.close(false) })
	s, err := parseSettings(object{"output": object{"dir": filepath.Join(t.TempDir(), "dump")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.bind("test", "0", s); err != nil {
		t.Fatal(err)
	}
	return r
}

// inForce returns both layers, which must be valid.
func inForce(t *testing.T, r *recorder, document string) map[model.Layer]model.DumpConfig {
	t.Helper()
	s := r.controller.Status().Switch
	layers := map[model.Layer]model.DumpConfig{model.LayerApp: s.App, model.LayerGlobal: s.Global}
	for layer, c := range layers {
		if err := c.Validate(layer); err != nil {
			t.Fatalf("%q has put into force what is not valid: %v", document, err)
		}
	}
	return layers
}

func TestMutatedWatchedFilesAreRefusedOrValid(t *testing.T) {
	valid := []string{
		`{"app": {"switch": "ON", "interval": 60, "duration": 5}}`,
		`{"app": {"switch": "OFF"}, "global": {"switch": "ON", "interval": 3600, "duration": 1, "mem_max_rate": 42}}`,
		`{"global": {"switch": "FORCE_OFF"}}`,
		`{}`,
	}
	r := mutationRecorder(t)
	w := &watch{recorder: r, path: "/etc/tcpcopy.json"} // without its goroutine
	m := newMutator(3)
	accepted, refused := 0, 0
	for range mutations {
		document := m.document(valid)
		before := inForce(t, r, "what came before")
		layers, err := parseWatched([]byte(document))
		w.handle(layers, err)
		after := inForce(t, r, document)
		if err != nil {
			refused++
			reasoned(t, err, document)
			if !maps.Equal(before, after) || w.report().Error != err.Error() {
				t.Errorf("%q is refused and has changed %v to %v, the status says %q", document, before, after, w.report().Error)
			}
			continue
		}
		accepted++
		for layer, c := range before {
			if want, ok := layers[layer]; ok {
				c = want
			}
			if after[layer] != c || w.report().Error != "" {
				t.Errorf("%q is accepted, layer %s is %v and not %v, the status says %q", document, layer, after[layer], c, w.report().Error)
			}
		}
	}
	tally(t, accepted, refused)
}

func TestMutatedAdminBodiesAreRefusedOrValid(t *testing.T) {
	valid := []string{
		`{"switch": "ON", "interval": 60, "duration": 5, "cpu_max_rate": 80, "mem_max_rate": 70}`,
		`{"switch": "OFF"}`,
		`{"switch": "FORCE_OFF", "interval": 31}`,
	}
	r := mutationRecorder(t)
	a := &admin{recorder: r}
	m := newMutator(4)
	accepted, refused := 0, 0
	for range mutations {
		document := m.document(valid)
		layer := []string{"app", "global", "app", "global", "", "App", "app\x00", "app&layer=global"}[m.Intn(8)]
		req := httptest.NewRequest(http.MethodPut, configPath+"?layer="+url.QueryEscape(layer), strings.NewReader(document))
		req.Host, req.RemoteAddr = "localhost", "127.0.0.1:1"
		answer := httptest.NewRecorder()
		before := inForce(t, r, "what came before")
		a.config(answer, req)
		after := inForce(t, r, document)
		switch {
		case answer.Code == http.StatusOK:
			accepted++
			want, err := model.ParseDumpConfig([]byte(document), model.Layer(layer))
			if err != nil || after[model.Layer(layer)] != want {
				t.Errorf("%q for layer %q is accepted, in force is %v: %v", document, layer, after, err)
			}
		case answer.Code/100 == 4:
			refused++
			var body struct {
				Error string `json:"error"`
			}
			if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || body.Error == "" {
				t.Errorf("%q for layer %q is refused with %q: %v", document, layer, answer.Body, err)
			}
			if !maps.Equal(before, after) {
				t.Errorf("%q is refused and has changed %v to %v", document, before, after)
			}
		default:
			t.Errorf("%q for layer %q: status %d: %s", document, layer, answer.Code, answer.Body)
		}
	}
	tally(t, accepted, refused)
}
