package tcpcopy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

func TestExtendsPutsLayersIntoForce(t *testing.T) {
	dir := t.TempDir()
	token, watched := filepath.Join(dir, "token"), filepath.Join(dir, "watched")
	write(t, token, "secret")
	write(t, watched, `{"global": {"switch": "OFF", "interval": 300}}`)
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	block, err := json.Marshal(object{
		"app": object{"switch": "ON", "interval": 90, "duration": 5}, "global": object{"switch": "FORCE_OFF"},
		"token_file": token, "watch": watched,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.recorder.extend(a, block); err != nil {
		t.Fatal(err)
	}
	s := h.recorder.controller.Status().Switch
	if s.App.Interval != 90 || s.App.Switch != model.SwitchOn || s.Global.Interval != 300 || s.AppChange.Source != "extends block" {
		t.Errorf("in force: %+v", s)
	}
	if source := a.token.Load(); source == nil || source.Path() != token {
		t.Errorf("token file %v", source)
	}
	if err := h.recorder.extend(a, json.RawMessage(`{}`)); err != nil {
		t.Errorf("an empty block: %v", err)
	}
}

// A block is refused whole, with all its faults.
func TestExtendsRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		block string
		words []string
	}{
		"a list":           {`[]`, []string{"a JSON object"}},
		"nothing":          {``, []string{"a JSON object"}},
		"null":             {`null`, []string{"a JSON object"}},
		"unknown field":    {`{"apps": {}}`, []string{"apps", "no field of that name"}},
		"bad layers":       {`{"app": {"interval": 1}, "global": {"duration": -1}}`, []string{"app.interval", "global.duration"}},
		"layer a list":     {`{"app": []}`, []string{"app", "JSON object"}},
		"forced app":       {`{"app": {"switch": "FORCE_OFF"}}`, []string{"app.switch"}},
		"relative token":   {`{"token_file": "token"}`, []string{"token_file", "absolute"}},
		"missing token":    {`{"token_file": "` + missing + `"}`, []string{"token_file", "no such file"}},
		"token a number":   {`{"token_file": 1}`, []string{"token_file"}},
		"relative watch":   {`{"watch": "file"}`, []string{"watch", "absolute"}},
		"everything wrong": {`{"app": {"interval": 1}, "watch": 1, "token_file": true, "x": 1}`, []string{"app.interval", "watch", "token_file", "x is"}},
	} {
		h := newHarness(t, object{})
		a := &admin{recorder: h.recorder}
		err := h.recorder.extend(a, json.RawMessage(c.block))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, word := range append(c.words, "extends") {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not name %q", name, err, word)
			}
		}
		if s := h.recorder.controller.Status().Switch; s.App != model.DefaultDumpConfig() || h.recorder.watch != nil {
			t.Errorf("%s: half of it is in force: %+v", name, s)
		}
		if h.recorder.refusals != 1 {
			t.Errorf("%s: %d refusals are counted", name, h.recorder.refusals)
		}
		h.recorder.close(false)
	}
	// One good layer beside a bad one is not taken.
	h := newHarness(t, object{})
	if err := h.recorder.extend(&admin{recorder: h.recorder}, json.RawMessage(`{"app": {"interval": 90}, "global": {"interval": 1}}`)); err == nil || h.interval() == 90 {
		t.Errorf("half-applied: %v, %d", err, h.interval())
	}
}

func FuzzExtension(f *testing.F) {
	for _, text := range []string{`{"app": {"switch": "ON"}, "global": {"switch": "FORCE_OFF"}, "watch": "/x", "token_file": "/x"}`, `{"app": null}`, `[]`, ``, `{"app": {"interval": 1}, "x": 1}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parseExtension(text)
		switch {
		case err != nil && (!strings.HasPrefix(err.Error(), "tcpcopy: extends: ") || len(err.Error()) < 25):
			t.Errorf("%q: %+v, %v", text, e, err)
		case err == nil:
			for layer, config := range e.layers {
				if config.Validate(layer) != nil {
					t.Errorf("%q: accepted %+v", text, config)
				}
			}
			if e.token != nil && !filepath.IsAbs(e.token.Path()) || e.watch != "" && !filepath.IsAbs(e.watch) {
				t.Errorf("%q: accepted %+v", text, e)
			}
		}
	})
}

// A token file that has no end must not hold the start.
func TestALargeTokenFileIsRefused(t *testing.T) {
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip(err)
	}
	if _, err := parseExtension(json.RawMessage(`{"token_file": "/dev/zero"}`)); err == nil || !strings.Contains(err.Error(), "token_file") {
		t.Errorf("%v", err)
	}
}
