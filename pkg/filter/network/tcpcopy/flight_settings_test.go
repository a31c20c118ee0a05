package tcpcopy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// badFlights are flight blocks that are refused, with what the error must name.
var badFlights = map[string]struct {
	block string
	words []string
}{
	"no object":        {`[]`, []string{"flight is an array of 0 values", "a JSON object"}},
	"null":             {`null`, []string{"flight is null", "a JSON object"}},
	"no size":          {`{}`, []string{"flight.size is not set", `"256MiB"`}},
	"size a word":      {`{"size": "much"}`, []string{`flight.size is "much"`, "64MiB"}},
	"size small":       {`{"size": "1023KiB"}`, []string{`flight.size is "1023KiB"`, "1MiB … 64GiB"}},
	"size large":       {`{"size": "65GiB"}`, []string{`flight.size is "65GiB"`, "1MiB … 64GiB"}},
	"size null":        {`{"size": null}`, []string{"flight.size is"}},
	"before a number":  {`{"size": "1MiB", "before": 30}`, []string{`flight.before is "30"`, `"1m30s"`}},
	"before no unit":   {`{"size": "1MiB", "before": "30"}`, []string{`flight.before is "30"`, `"1m30s"`}},
	"before below":     {`{"size": "1MiB", "before": "-1s"}`, []string{`flight.before is "-1s"`, `"0s" to "1h"`}},
	"after above":      {`{"size": "1MiB", "after": "61m"}`, []string{`flight.after is "61m"`, `"0s" to "1h"`}},
	"scope":            {`{"size": "1MiB", "scope": "all"}`, []string{`flight.scope is "all"`, "connection, listener, process"}},
	"cpu":              {`{"size": "1MiB", "cpu_max_rate": 100}`, []string{"flight.cpu_max_rate is 100", "less than 100"}},
	"memory":           {`{"size": "1MiB", "mem_max_rate": "90"}`, []string{"flight.mem_max_rate is", "a number"}},
	"budget a number":  {`{"size": "1MiB", "captures": 20}`, []string{`flight.captures is "20"`, `"20/1h"`}},
	"budget no time":   {`{"size": "1MiB", "captures": "20"}`, []string{`flight.captures is "20"`, `"20/1h"`}},
	"budget negative":  {`{"size": "1MiB", "captures": "-1/1h"}`, []string{`flight.captures is "-1/1h"`}},
	"budget of days":   {`{"size": "1MiB", "captures": "1/25h"}`, []string{`flight.captures is "1/25h"`, `"24h"`}},
	"budget of hour":   {`{"size": "1MiB", "captures": "20/hour"}`, []string{`flight.captures is "20/hour"`}},
	"decoders":         {`{"size": "1MiB", "decoders": "1KiB"}`, []string{`flight.decoders is "1KiB"`, "1MiB … 64GiB"}},
	"crash a word":     {`{"size": "1MiB", "crash": "yes"}`, []string{`flight.crash is "yes"`, "true or false"}},
	"unknown":          {`{"size": "1MiB", "befor": "1s"}`, []string{"flight.befor is", "no field of that name"}},
	"triggers no list": {`{"size": "1MiB", "triggers": {}}`, []string{"flight.triggers is", "a list of triggers"}},
	"many triggers":    {`{"size": "1MiB", "triggers": [` + strings.Repeat(`{},`, 64) + `{}]}`, []string{"flight.triggers is a list of 65", "at most 64"}},

	"trigger no object":    {`{"size": "1MiB", "triggers": [7]}`, []string{"flight.triggers[0] is a number", "a JSON object"}},
	"trigger empty":        {`{"size": "1MiB", "triggers": [{}]}`, []string{"flight.triggers[0].name is not set", "flight.triggers[0] is a trigger without a condition"}},
	"trigger of two kinds": {`{"size": "1MiB", "triggers": [{"name": "a", "where": "failed", "close": ["RemoteClose"]}]}`, []string{"flight.triggers[0] is a trigger with where and close", "one trigger for each"}},
	"trigger unknown":      {`{"size": "1MiB", "triggers": [{"name": "a", "where": "failed", "when": 1}]}`, []string{"flight.triggers[0].when", "no field of that name"}},
	"name empty":           {`{"size": "1MiB", "triggers": [{"name": "", "where": "failed"}]}`, []string{`flight.triggers[0].name is ""`}},
	"name not printable":   {`{"size": "1MiB", "triggers": [{"name": "a\nb", "where": "failed"}]}`, []string{`flight.triggers[0].name is "a\nb"`}},
	"name of requests":     {`{"size": "1MiB", "triggers": [{"name": "request", "where": "failed"}]}`, []string{`flight.triggers[0].name is "request"`, `other than "request"`}},
	"name long":            {`{"size": "1MiB", "triggers": [{"name": "` + strings.Repeat("a", 65) + `", "where": "failed"}]}`, []string{`flight.triggers[0].name is a text of 65 bytes`}},
	"name twice":           {`{"size": "1MiB", "triggers": [{"name": "a", "where": "failed"}, {"name": "b", "where": "failed"}, {"name": "a", "close": ["RemoteClose"]}]}`, []string{`flight.triggers[2].name is "a"`, "no trigger before it has"}},
	"where bad":            {`{"size": "1MiB", "triggers": [{"name": "a", "where": "latncy > 2s"}]}`, []string{`flight.triggers[0].where is "latncy > 2s"`, "did you mean latency?"}},
	"where no condition":   {`{"size": "1MiB", "triggers": [{"name": "a", "where": "latency"}]}`, []string{`flight.triggers[0].where`, "not a condition"}},
	"where a list":         {`{"size": "1MiB", "triggers": [{"name": "a", "where": ["failed"]}]}`, []string{`flight.triggers[0].where`, "a query such as"}},
	"bytes a text":         {`{"size": "1MiB", "triggers": [{"name": "a", "bytes": "x"}]}`, []string{`flight.triggers[0].bytes is "x"`, "a list of texts"}},
	"bytes none":           {`{"size": "1MiB", "triggers": [{"name": "a", "bytes": []}]}`, []string{`flight.triggers[0] is "without any", valid: exactly one of where, bytes and close`}},
	"bytes empty":          {`{"size": "1MiB", "triggers": [{"name": "a", "bytes": ["x", ""]}]}`, []string{`flight.triggers[0].bytes[1] is ""`}},
	"bytes bad escape":     {`{"size": "1MiB", "triggers": [{"name": "a", "bytes": ["\\xg0"]}]}`, []string{`flight.triggers[0].bytes[0]`, "escapes of Go"}},
	"direction":            {`{"size": "1MiB", "triggers": [{"name": "a", "bytes": ["x"], "direction": "up"}]}`, []string{`flight.triggers[0].direction is "up"`, "in, out"}},
	"direction of close":   {`{"size": "1MiB", "triggers": [{"name": "a", "close": ["RemoteClose"], "direction": "in"}]}`, []string{`flight.triggers[0].direction is "in"`, "only together with bytes"}},
	"close unknown":        {`{"size": "1MiB", "triggers": [{"name": "a", "close": ["RemoteClose", "Reset"]}]}`, []string{`flight.triggers[0].close[1] is "Reset"`, "OnReadErrClose"}},
	"close none":           {`{"size": "1MiB", "triggers": [{"name": "a", "close": []}]}`, []string{`flight.triggers[0] is "without any", valid: exactly one of where, bytes and close`}},
	"trigger's scope":      {`{"size": "1MiB", "triggers": [{"name": "a", "where": "failed", "scope": "x"}]}`, []string{`flight.triggers[0].scope is "x"`, "process"}},
	"trigger's before":     {`{"size": "1MiB", "triggers": [{"name": "a", "where": "failed", "before": "x", "after": 1}]}`, []string{`flight.triggers[0].before is "x"`, "flight.triggers[0].after"}},

	"all at once": {`{"before": "x", "after": "x", "scope": "x", "cpu_max_rate": 0, "mem_max_rate": 0, "captures": "x", "decoders": "x", "crash": 1, "more": 1,
		"triggers": [{"where": "x ="}, {"name": "b", "close": ["x"]}]}`,
		[]string{"flight.size", "flight.before", "flight.after", "flight.scope", "flight.cpu_max_rate", "flight.mem_max_rate", "flight.captures", "flight.decoders", "flight.crash", "flight.more",
			"flight.triggers[0].name", "flight.triggers[0].where", "flight.triggers[1].close[0]"}},
}

func TestBadFlightBlocksAreRefusedWithAllTheirFaults(t *testing.T) {
	for name, c := range badFlights {
		_, alone := parseFlightText([]byte(c.block))
		_, within := parseSettings(configOf(t, `{"flight": `+c.block+`}`))
		for _, err := range []error{alone, within} {
			if err == nil {
				t.Errorf("%s: accepted", name)
				continue
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %q does not name %q", name, err, word)
				}
			}
		}
	}
	if _, err := parseFlightText([]byte(`{"size"`)); err == nil || !strings.Contains(err.Error(), "flight is no JSON") {
		t.Errorf("what is no JSON: %v", err)
	}
}

func TestGoodFlightBlocksAreParsed(t *testing.T) {
	withSize := func(size int64, edit func(*strategy.FlightConfig)) strategy.FlightConfig {
		c := strategy.DefaultFlightConfig()
		c.Size = size
		if edit != nil {
			edit(&c)
		}
		return c
	}
	for name, c := range map[string]struct {
		block   string
		want    strategy.FlightConfig
		answers []string
	}{
		"size alone":    {`{"size": "256MiB"}`, strategy.FlightConfig{Size: 256 << 20, Before: 30 * time.Second, After: 5 * time.Second, Scope: "connection", CPUMaxRate: 95, MemMaxRate: 90, Budget: strategy.Budget{Captures: 20, Per: time.Hour}, Decoders: 64 << 20, Crash: true}, nil},
		"off":           {`{"size": "0"}`, withSize(0, nil), nil},
		"off, a number": {`{"size": 0, "triggers": []}`, withSize(0, func(c *strategy.FlightConfig) { c.Triggers = nil }), nil},
		"all that there is": {`{"size": 1048576, "before": "1m30s", "after": "0s", "scope": "listener", "cpu_max_rate": 50.5, "mem_max_rate": 60, "captures": "3/90s", "decoders": "2MiB", "crash": false,
			"triggers": [
				{"name": "errors", "where": "failed or latency > 2s"},
				{"name": "by path, 1 ä", "where": "path startsWith \"/pay\"", "scope": "process", "before": "10s", "after": "1s"},
				{"name": "marker", "bytes": ["-----BEGIN", "\\x00\\xff\\\"\\n"], "direction": "out"},
				{"name": "any", "bytes": ["x"]},
				{"name": "in", "bytes": ["x"], "direction": "in"},
				{"name": "resets", "close": ["OnReadErrClose", "OnWriteErrClose", "OnWriteTimeout"]}]}`,
			strategy.FlightConfig{
				Size: 1 << 20, Before: 90 * time.Second, After: 0, Scope: "listener", CPUMaxRate: 50.5, MemMaxRate: 60, Budget: strategy.Budget{Captures: 3, Per: 90 * time.Second}, Decoders: 2 << 20,
				Triggers: []strategy.FlightTrigger{
					{Name: "errors", Where: "failed or latency > 2s", Before: 90 * time.Second, Scope: "listener"},
					{Name: "by path, 1 ä", Where: `path startsWith "/pay"`, Before: 10 * time.Second, After: time.Second, Scope: "process"},
					{Name: "marker", Bytes: []string{"-----BEGIN", `\x00\xff\"\n`}, Direction: "out", Before: 90 * time.Second, Scope: "listener"},
					{Name: "any", Bytes: []string{"x"}, Before: 90 * time.Second, Scope: "listener"},
					{Name: "in", Bytes: []string{"x"}, Direction: "in", Before: 90 * time.Second, Scope: "listener"},
					{Name: "resets", Close: []string{"OnReadErrClose", "OnWriteErrClose", "OnWriteTimeout"}, Before: 90 * time.Second, Scope: "listener"},
				},
			}, []string{"flight.triggers[0].where", "flight.triggers[2].bytes"}},
	} {
		f, err := parseFlightText([]byte(c.block))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(f.FlightConfig, c.want) || !reflect.DeepEqual(f.answers, c.answers) {
			t.Errorf("%s:\n%+v, answers %q\nwant\n%+v, %q", name, f.FlightConfig, f.answers, c.want, c.answers)
		}
	}
	for want, b := range map[string]strategy.Budget{"20/1h": {Captures: 20, Per: time.Hour}, "3/1m30s": {Captures: 3, Per: 90 * time.Second}, "1/5m": {Captures: 1, Per: 5 * time.Minute}, "0/1h30m": {Per: 90 * time.Minute}} {
		if b.String() != want {
			t.Errorf("%s, want %s", b, want)
		}
	}
}

// A block says which changes keep the ring.
func TestWhichChangesOfAFlightBlockKeepTheRing(t *testing.T) {
	of := func(block string) *strategy.FlightConfig {
		f, err := parseFlightText([]byte(block))
		if err != nil {
			t.Fatal(err)
		}
		return &f.FlightConfig
	}
	base := of(`{"size": "1MiB"}`)
	for block, want := range map[string]string{
		`{"size": "1024KiB"}`:                                                  "equal keeps",
		`{"size": "1MiB", "before": "1s"}`:                                     "keeps",
		`{"size": "1MiB", "captures": "1/1s"}`:                                 "keeps",
		`{"size": "1MiB", "triggers": [{"name":"a","close":["RemoteClose"]}]}`: "keeps",
		`{"size": "2MiB"}`:                                                     "",
		`{"size": "0"}`:                                                        "",
	} {
		o := of(block)
		got := ""
		if base.Equal(o) {
			got = "equal "
		}
		if base.KeepsRing(o) {
			got += "keeps"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", block, got, want)
		}
	}
	off := of(`{"size": "0", "before": "1s"}`)
	if !off.Equal(nil) || !(*strategy.FlightConfig)(nil).Equal(off) || off.KeepsRing(off) || off.Equal(base) {
		t.Error("a block that is off is not like none")
	}
}

// A flight block is the process's, and fits what listeners record and the files have.
func TestAFlightBlockFitsTheListeners(t *testing.T) {
	const wants = `{"size": "1MiB", "triggers": [{"name": "errors", "where": "failed"}]}`
	const modest = `{"size": "1MiB", "triggers": [{"name": "paths", "where": "path == \"/pay\""}, {"name": "resets", "close": ["OnReadErrClose"]}]}`
	for name, c := range map[string]struct {
		listeners []string // the last one is refused with the words
		words     []string // none: it is not refused
	}{
		"both":                         {[]string{`{"capture": {"direction": "both"}, "flight": ` + wants + `}`}, nil},
		"triggers that need no answer": {[]string{`{"flight": ` + modest + `}`}, nil},
		"no ring, no need":             {[]string{`{"flight": {"size": "0", "triggers": [{"name": "errors", "where": "failed"}]}}`}, nil},
		"the same in two":              {[]string{`{"capture": {"direction": "both"}, "flight": ` + wants + `}`, `{"flight": ` + wants + `}`}, nil},
		"differs":                      {[]string{`{"flight": {"size": "1MiB"}}`, `{"flight": {"size": "2MiB"}}`}, []string{"flight differs from the one of listener l0"}},
	} {
		h := newHarness(t, object{})
		var err error
		for i, text := range c.listeners {
			if _, err = h.tryBind(fmt.Sprintf("l%d", i), h.into(configOf(t, text))); i < len(c.listeners)-1 && err != nil {
				t.Fatalf("%s: listener %d: %v", name, i, err)
			}
		}
		if (err != nil) != (len(c.words) > 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, word := range c.words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not name %q", name, err, word)
			}
		}
	}
}

// Without a file that says which bytes are of which connection there is no flight recorder.
func TestAFlightBlockNeedsAFormatWithConnections(t *testing.T) {
	const words = "hex_meta or pcapng among them where there is a flight block"
	hex := `"output": {"formats": ["hex"], "min_free": "0"}`
	if _, err := parseSettings(configOf(t, `{`+hex+`, "flight": {"size": "1MiB"}}`)); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("one block: %v", err)
	}
	for _, good := range []string{`{` + hex + `, "flight": {"size": "0"}}`, `{"output": {"formats": ["hex", "pcapng"]}, "flight": {"size": "1MiB"}}`} {
		if _, err := parseSettings(configOf(t, good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	h := newHarness(t, object{"flight": object{"size": "1MiB"}})
	if _, err := h.tryBind("test", h.into(object{"output": object{"formats": []string{"hex"}}})); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("an update to hex: %v", err)
	}
	plain := newHarness(t, object{"output": object{"formats": []string{"hex"}}})
	if _, err := plain.tryBind("other", object{"flight": object{"size": "1MiB"}}); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("a flight block of another listener: %v", err)
	}
}

// The output may come with a later listener. Until then the block is refused, and nothing else.
// The test binds no listener: without an output, that would open the default directory.
func TestAFlightBlockWithoutAnOutputWaitsForOne(t *testing.T) {
	r := newRecorder("aaaaaa", testHost(t))
	t.Cleanup(func() { r.close(false) })
	s, err := parseSettings(configOf(t, `{"flight": {"size": "1MiB"}}`))
	if err != nil {
		t.Fatal(err)
	}
	next, brings, err := r.check("first", s)
	if err != nil || !brings[partFlight] {
		t.Fatalf("brings %v, %v", brings, err)
	}
	r.install(&boundListener{name: "first", settings: s, scope: s.scope}, next, brings, nil)
	if err := r.applyFlight("first", s); err != nil {
		t.Fatal(err)
	}
	if f := r.flightRefusal(); f == nil || f.Listener != "first" || !strings.Contains(f.Error, `output.formats is "hex", valid: hex_meta or pcapng`) {
		t.Errorf("refused %+v", f)
	}
	bad, good := configOf(t, `{"output": {"formats": ["hex"]}}`), configOf(t, `{"output": {"formats": ["pcapng"]}}`)
	for _, config := range []object{bad, good} {
		second, err := parseSettings(config)
		if err != nil {
			t.Fatal(err)
		}
		if next, _, err = r.check("second", second); (err == nil) != (len(second.output.formats) == 1 && second.output.formats[0] == "pcapng") {
			t.Errorf("%v: %v", config, err)
		}
	}
	r.mu.Lock()
	r.parts = next
	r.mu.Unlock()
	if f := r.flightRefusal(); f != nil {
		t.Errorf("refused %+v", f)
	}
}
