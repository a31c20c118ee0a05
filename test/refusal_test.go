package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

// badConfigs are configurations that are refused, each with what the error must
// name: the field, and what would be valid.
func badConfigs(base string) map[string]struct {
	config block
	words  []string
} {
	type bad = struct {
		config block
		words  []string
	}
	strategy := func(field string, value any) block {
		return block{"strategy": block{"switch": "ON", field: value}}
	}
	part := func(name, field string, value any) block { return block{name: block{field: value}} }
	return map[string]bad{
		"interval below":       {strategy("interval", 29), []string{"strategy.interval", "29", "30 … 3600"}},
		"interval above":       {strategy("interval", 3601), []string{"strategy.interval", "3601", "30 … 3600"}},
		"interval as text":     {strategy("interval", "30"), []string{"strategy.interval"}},
		"interval in part":     {strategy("interval", 30.5), []string{"strategy.interval"}},
		"duration too long":    {block{"strategy": block{"interval": 60, "duration": 60}}, []string{"strategy.duration", "60"}},
		"duration zero":        {strategy("duration", 0), []string{"strategy.duration", "0"}},
		"rate above":           {strategy("cpu_max_rate", 100), []string{"strategy.cpu_max_rate", "100"}},
		"rate below":           {strategy("mem_max_rate", -1), []string{"strategy.mem_max_rate", "-1"}},
		"switch forced":        {strategy("switch", "FORCE_OFF"), []string{"strategy.switch", "FORCE_OFF", "ON, OFF"}},
		"switch in small":      {strategy("switch", "on"), []string{"strategy.switch", `"on"`, "ON, OFF"}},
		"strategy a list":      {block{"strategy": []int{1}}, []string{"strategy"}},
		"strategy's unknown":   {strategy("intervall", 30), []string{"intervall"}},
		"unknown block":        {block{"schedule": block{"switch": "ON"}}, []string{"schedule"}},
		"unknown field":        {part("output", "directory", "/tmp"), []string{"output.directory"}},
		"direction":            {part("capture", "direction", "sideways"), []string{"capture.direction", "sideways", "request, both"}},
		"peers":                {part("capture", "peers", []string{"10.0.0.0/33"}), []string{"capture.peers", "10.0.0.0/33"}},
		"sample":               {part("capture", "sample", 1.5), []string{"capture.sample", "1.5"}},
		"limit":                {part("capture", "max_bytes_per_connection", "1 parsec"), []string{"capture.max_bytes_per_connection", "1 parsec"}},
		"formats of two kinds": {part("output", "formats", []string{"hex", "hex_meta"}), []string{"output.formats", "hex_meta"}},
		"format unknown":       {part("output", "formats", []string{"pcap"}), []string{"output.formats", "pcap"}},
		"no format":            {part("output", "formats", []string{}), []string{"output.formats"}},
		"relative dir":         {part("output", "dir", "dump"), []string{"output.dir", "dump"}},
		"dir under a file":     {part("output", "dir", filepath.Join(base, "file", "dump")), []string{filepath.Join(base, "file")}},
		"roll":                 {part("output", "roll", "size=big"), []string{"output.roll", "size=big"}},
		"max_total":            {part("output", "max_total", "-1"), []string{"output.max_total", "-1"}},
		"min_free":             {part("output", "min_free", "120%"), []string{"output.min_free", "120%"}},
		"buffer too small":     {part("buffer", "size", "1KiB"), []string{"buffer.size", "64KiB"}},
		"workers":              {part("buffer", "workers", -1), []string{"buffer.workers", "-1"}},
		"guard":                {block{"guard": "maybe"}, []string{"guard", "maybe", "on, off"}},
		"hex with both": {block{"capture": block{"direction": "both"}, "output": block{"dir": filepath.Join(base, "other"), "formats": []string{"hex"}}},
			[]string{"output.formats", "hex", "capture.direction"}},
		"all faults at once": {block{"strategy": block{"switch": "AUS", "interval": 1}, "guard": "vielleicht", "buffer": block{"workers": -7}},
			[]string{"strategy.switch", "AUS", "strategy.interval", "guard", "vielleicht", "buffer.workers", "-7"}},
	}
}

// Every bad configuration is refused whole, with the reason in MOSN's log and in
// the status, and its listener's traffic goes on. A good one after all of them
// finds nothing half-applied.
func TestBadConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	if err := os.WriteFile(filepath.Join(base, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := badConfigs(base)
	addresses := map[string]string{}
	var listeners []mosnproc.Listener
	for name, c := range cases {
		addresses[name] = freeAddress(t)
		listeners = append(listeners, mosnproc.NewListener(name, addresses[name],
			mosnproc.Filter{Type: "tcpcopy", Config: c.config}, mosnproc.TCPProxy()))
	}
	good := freeAddress(t)
	listeners = append(listeners, mosnproc.NewListener("good", good, recorder(base), mosnproc.TCPProxy()))
	m := start(t, base, configOf(upstream(t, echo), listeners...))

	refused := refusals(t, m)
	log := m.Log()
	for name, c := range cases {
		reason, ok := refused[name]
		if !ok {
			t.Errorf("%s: the status does not list the listener among the refused", name)
		}
		for _, word := range c.words {
			if !strings.Contains(reason, word) {
				t.Errorf("%s: %q does not name %q", name, reason, word)
			}
			if !strings.Contains(log, word) {
				t.Errorf("%s: the log does not name %q", name, word)
			}
		}
	}
	if reason, ok := refused["good"]; ok || len(refused) != len(cases) {
		t.Errorf("%d listeners are refused of %d bad ones; the good one for %q", len(refused), len(cases), reason)
	}

	w := m.window(func() {
		for name, address := range addresses {
			sendOnce(t, address, "through "+name)
		}
		sendOnce(t, good, "through the good one")
	})
	complete(t, w)
	all := m.connections(w)
	if len(all) != 1 {
		t.Fatalf("%d connections recorded, want the good listener's only", len(all))
	}
	if got, err := all[0].In.Bytes(); err != nil || string(got) != "through the good one" {
		t.Errorf("recorded %q, %v", got, err)
	}
}

// What is the process's can be brought by one listener; another one that
// disagrees is refused with an error that names both.
func TestConflictingListenersAreRefused(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	strategy := func(interval int) block {
		return block{"strategy": block{"switch": "OFF", "interval": interval, "duration": 5}}
	}
	filters := map[string]mosnproc.Filter{
		"same":     recorder(base, strategy(60)),
		"silent":   {Type: "tcpcopy", Config: block{"capture": block{"direction": "both"}}},
		"strategy": recorder(base, strategy(90)),
		"output":   recorder(base, strategy(60), block{"output": block{"dir": filepath.Join(base, "other"), "formats": []string{"hex_meta"}}}),
		"guard":    recorder(base, block{"guard": "on"}),
		"buffer":   recorder(base, block{"buffer": block{"size": "1MiB"}}),
	}
	conflicts := []string{"strategy", "output", "guard", "buffer"}
	first := freeAddress(t)
	listeners := []mosnproc.Listener{mosnproc.NewListener("first", first, recorder(base, strategy(60), block{"buffer": block{"size": "2MiB"}}), mosnproc.TCPProxy())}
	addresses := map[string]string{}
	for name, filter := range filters {
		addresses[name] = freeAddress(t)
		listeners = append(listeners, mosnproc.NewListener(name, addresses[name], filter, mosnproc.TCPProxy()))
	}
	m := start(t, base, configOf(upstream(t, echo), listeners...))

	refused := refusals(t, m)
	for _, name := range conflicts {
		if reason := refused[name]; !strings.Contains(reason, name) || !strings.Contains(reason, "first") {
			t.Errorf("listener %q is refused for %q, which names not both listeners", name, reason)
		}
	}
	if len(refused) != len(conflicts) {
		t.Errorf("refused: %v", refused)
	}

	w := m.window(func() {
		sendOnce(t, first, "first")
		for name, address := range addresses {
			sendOnce(t, address, name)
		}
	})
	complete(t, w)
	got := map[string]bool{}
	for _, c := range m.connections(w) {
		text, err := c.In.Bytes()
		if err != nil {
			t.Error(err)
		}
		got[string(text)] = true
	}
	if len(got) != 3 || !got["first"] || !got["same"] || !got["silent"] {
		t.Errorf("recorded %v, want those that agree", got)
	}
	if _, err := os.Stat(filepath.Join(base, "other")); !os.IsNotExist(err) {
		t.Errorf("a refused directory has been made: %v", err)
	}
	if len(w.Ports) != 3 {
		t.Errorf("the index names the ports %v", w.Ports)
	}
}
