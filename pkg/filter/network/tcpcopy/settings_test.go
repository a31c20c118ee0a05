package tcpcopy

import (
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
)

// configOf returns a configuration as MOSN hands it over.
func configOf(t *testing.T, text string) object {
	t.Helper()
	var config object
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

// badSettings are configurations that are refused, with what the error must name:
// the field, its value and what would be valid.
var badSettings = map[string]struct {
	config string
	words  []string
}{
	"unknown block":     {`{"schedule": {}}`, []string{"schedule is", "no field of that name"}},
	"unknown field":     {`{"output": {"directory": "/tmp"}}`, []string{`output.directory is a text of 4 bytes`, "no field of that name"}},
	"unknown in buffer": {`{"buffer": {"Size": 1}}`, []string{"buffer.Size", "no field of that name"}},

	"strategy a list":      {`{"strategy": [1]}`, []string{"strategy", "JSON object"}},
	"strategy null":        {`{"strategy": null}`, []string{"strategy", "JSON object"}},
	"strategy unknown":     {`{"strategy": {"intervall": 30}}`, []string{"strategy", "intervall"}},
	"interval text":        {`{"strategy": {"interval": "30"}}`, []string{"strategy.interval"}},
	"interval fraction":    {`{"strategy": {"interval": 30.5}}`, []string{"strategy.interval"}},
	"interval below":       {`{"strategy": {"interval": 29}}`, []string{"strategy.interval is 29", "30 … 3600"}},
	"interval above":       {`{"strategy": {"interval": 3601}}`, []string{"strategy.interval is 3601", "30 … 3600"}},
	"duration zero":        {`{"strategy": {"duration": 0}}`, []string{"strategy.duration is 0", "less than the interval (30)"}},
	"duration of interval": {`{"strategy": {"interval": 60, "duration": 60}}`, []string{"strategy.duration is 60", "less than the interval (60)"}},
	"cpu at 100":           {`{"strategy": {"cpu_max_rate": 100}}`, []string{"strategy.cpu_max_rate is 100", "less than 100"}},
	"memory at 0":          {`{"strategy": {"mem_max_rate": 0}}`, []string{"strategy.mem_max_rate is 0", "more than 0"}},
	"forced by an app":     {`{"strategy": {"switch": "FORCE_OFF"}}`, []string{`strategy.switch is "FORCE_OFF"`, "ON, OFF"}},

	"capture null":    {`{"capture": null}`, []string{"capture is", "a JSON object"}},
	"capture a word":  {`{"capture": "both"}`, []string{`capture is a text of 4 bytes`, "a JSON object"}},
	"direction":       {`{"capture": {"direction": "sideways"}}`, []string{`capture.direction is "sideways"`, "request, both"}},
	"direction a bit": {`{"capture": {"direction": true}}`, []string{"capture.direction is", "request, both"}},
	"peers a word":    {`{"capture": {"peers": "10.0.0.0/8"}}`, []string{"capture.peers", "a list of networks"}},
	"a bad peer":      {`{"capture": {"peers": ["10.0.0.0/33"]}}`, []string{`capture.peers is "10.0.0.0/33"`, "networks such as"}},
	"a named peer":    {`{"capture": {"peers": ["localhost"]}}`, []string{`capture.peers is "localhost"`, "networks such as"}},
	"a mapped peer":   {`{"capture": {"peers": ["::ffff:0:0/95"]}}`, []string{`capture.peers is "::ffff:0:0/95"`, "::ffff:0:0/96"}},
	"all mapped":      {`{"capture": {"peers": ["::ffff:10.0.0.0/8"]}}`, []string{`capture.peers is "::ffff:10.0.0.0/8"`, "::ffff:0:0/96"}},
	"a null peer":     {`{"capture": {"peers": [null]}}`, []string{`capture.peers is ""`, "networks such as"}},
	"sample above":    {`{"capture": {"sample": 1.01}}`, []string{"capture.sample is 1.01", "from 0 to 1"}},
	"sample below":    {`{"capture": {"sample": -0.1}}`, []string{"capture.sample is -0.1", "from 0 to 1"}},
	"sample a word":   {`{"capture": {"sample": "all"}}`, []string{"capture.sample", "from 0 to 1"}},
	"limit":           {`{"capture": {"max_bytes_per_connection": "1 parsec"}}`, []string{`capture.max_bytes_per_connection is "1 parsec"`, "64MiB"}},
	"limit below":     {`{"capture": {"max_bytes_per_connection": -1}}`, []string{`capture.max_bytes_per_connection is "-1"`, "64MiB"}},

	"relative dir":   {`{"output": {"dir": "dump"}}`, []string{`output.dir is "dump"`, "an absolute path"}},
	"empty dir":      {`{"output": {"dir": ""}}`, []string{`output.dir is ""`, "an absolute path"}},
	"dir a number":   {`{"output": {"dir": 1}}`, []string{"output.dir", "an absolute path"}},
	"no format":      {`{"output": {"formats": []}}`, []string{"output.formats", "hex, hex_meta, pcapng"}},
	"formats null":   {`{"output": {"formats": null}}`, []string{"output.formats", "a list of formats"}},
	"format unknown": {`{"output": {"formats": ["pcap"]}}`, []string{`output.formats is "pcap"`, "hex, hex_meta, pcapng"}},
	"format twice":   {`{"output": {"formats": ["hex", "hex"]}}`, []string{"output.formats", "once"}},
	"two hexes":      {`{"output": {"formats": ["hex", "hex_meta"]}}`, []string{"output.formats", "share a file"}},
	"roll":           {`{"output": {"roll": "size=big"}}`, []string{`output.roll is "size=big"`, "in MiB"}},
	"roll a number":  {`{"output": {"roll": 256}}`, []string{"output.roll", "roller words"}},
	"max_total":      {`{"output": {"max_total": "much"}}`, []string{`output.max_total is "much"`, "10GiB"}},
	"max_total tiny": {`{"output": {"max_total": 1000}}`, []string{"output.max_total is 1000", "1MiB at least"}},
	"max_total null": {`{"output": {"max_total": null}}`, []string{"output.max_total", "10GiB"}},
	"min_free":       {`{"output": {"min_free": "120%"}}`, []string{`output.min_free is "120%"`, `below "100%"`}},
	"min_free word":  {`{"output": {"min_free": "some"}}`, []string{`output.min_free is "some"`, `"5%"`}},

	"buffer small":    {`{"buffer": {"size": "1KiB"}}`, []string{"buffer.size is 1024", "64KiB … 64GiB"}},
	"buffer large":    {`{"buffer": {"size": "1TiB"}}`, []string{"buffer.size", "64KiB … 64GiB"}},
	"buffer a list":   {`{"buffer": {"size": []}}`, []string{"buffer.size", "64MiB"}},
	"workers below":   {`{"buffer": {"workers": -1}}`, []string{"buffer.workers is -1", "0 (one per processor) … 256"}},
	"workers above":   {`{"buffer": {"workers": 257}}`, []string{"buffer.workers is 257", "… 256"}},
	"workers in part": {`{"buffer": {"workers": 1.5}}`, []string{"buffer.workers", "a whole number"}},
	"relative spool":  {`{"buffer": {"spool": "here"}}`, []string{`buffer.spool is "here"`, "absolute path"}},

	"guard a word": {`{"guard": "maybe"}`, []string{`guard is "maybe"`, "on, off"}},
	"guard a bit":  {`{"guard": false}`, []string{`guard is "false"`, "on, off"}},
	"guard null":   {`{"guard": null}`, []string{"guard", "on, off"}},

	"all at once": {`{"strategy": {"switch": "AUS", "interval": 1, "cpu_max_rate": 101}, "capture": {"sample": 2, "direction": "up"},
		"output": {"dir": "x", "formats": ["x"], "roll": "x", "min_free": "x", "extra": 1}, "buffer": {"size": 1, "workers": -7}, "guard": "x", "more": 1}`,
		[]string{"strategy.switch", "strategy.interval", "strategy.cpu_max_rate", "capture.sample", "capture.direction", "output.dir",
			"output.formats", "output.roll", "output.min_free", "output.extra", "buffer.size", "buffer.workers", "guard", "more"}},
}

func TestBadSettingsAreRefusedWithAllTheirFaults(t *testing.T) {
	for name, c := range badSettings {
		s, err := parseSettings(configOf(t, c.config))
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
			continue
		}
		for _, word := range append(c.words, "tcpcopy: ") {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not name %q", name, err, word)
			}
		}
	}
	if _, err := parseSettings(object{"strategy": math.Inf(1)}); err == nil {
		t.Error("what is no JSON is accepted")
	}
}

func TestGoodSettingsAreParsed(t *testing.T) {
	plain := scope{sample: 1}
	on, off := true, false
	strategyOn := model.DefaultDumpConfig()
	strategyOn.Switch = model.SwitchOn
	roll := persistence.Roll{Size: 256 << 20, Age: 7 * 24 * time.Hour, Keep: 10, Compress: true}
	hex := []persistence.Format{persistence.FormatHex}
	for name, c := range map[string]struct {
		config string
		want   settings
	}{
		"nothing":       {`{}`, settings{scope: plain}},
		"config null":   {`null`, settings{scope: plain}},
		"strategy":      {`{"strategy": {"switch": "ON"}}`, settings{strategy: &strategyOn, scope: plain}},
		"empty blocks":  {`{"capture": {}, "output": {}, "buffer": {}}`, settings{scope: plain, output: &outputSettings{formats: hex, maxTotal: 10 << 30, minFree: persistence.MinFree{Percent: 5}}, buffer: &bufferSettings{size: 64 << 20, spool: "auto"}}},
		"guards":        {`{"guard": "on"}`, settings{scope: plain, guard: &on}},
		"no guard":      {`{"guard": "off"}`, settings{scope: plain, guard: &off}},
		"plain numbers": {`{"capture": {"max_bytes_per_connection": 10}, "buffer": {"size": 65536}}`, settings{scope: scope{sample: 1, limit: 10}, buffer: &bufferSettings{size: 64 << 10, spool: "auto"}}},
		"all that there is": {`{"strategy": {"switch": "ON", "interval": 30, "duration": 1, "cpu_max_rate": 80, "mem_max_rate": 70},
			"capture": {"direction": "both", "peers": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"], "sample": 0, "max_bytes_per_connection": "1MiB"},
			"output": {"dir": "/tmp/x", "formats": ["hex_meta", "pcapng"], "roll": "size=256 age=7 keep=10 compress=on", "max_total": "0", "min_free": "1GiB"},
			"buffer": {"size": "1MiB", "workers": 3, "spool": "off"}, "guard": "off"}`, settings{
			strategy: &strategyOn,
			scope:    scope{both: true, sample: 0, limit: 1 << 20, peers: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")}},
			output:   &outputSettings{dir: "/tmp/x", formats: []persistence.Format{persistence.FormatHexMeta, persistence.FormatPcapng}, roll: &roll, minFree: persistence.MinFree{Bytes: 1 << 30}},
			buffer:   &bufferSettings{size: 1 << 20, workers: 3, spool: "off"},
			guard:    &off,
		}},
	} {
		got, err := parseSettings(configOf(t, c.config))
		if err != nil || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestStoreConfigJoinsTheBlocks(t *testing.T) {
	daily := persistence.DefaultRoll()
	s, err := parseSettings(configOf(t, `{"output": {"dir": "/tmp/a/../b/", "formats": ["pcapng"]}, "buffer": {"size": "1MiB"}}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := storeConfig(s.output, s.buffer, daily)
	if err != nil || c.Dir != "/tmp/b" || c.Roll != daily || !slices.Equal(c.Formats, []persistence.Format{persistence.FormatPcapng}) || c.BufferSize != 1<<20 || c.MaxTotal != 10<<30 {
		t.Errorf("%+v, %v", c, err)
	}
	s.output.roll = &persistence.Roll{Keep: 3}
	if c, err = storeConfig(s.output, nil, daily); err != nil || c.Roll.Keep != 3 || c.BufferSize != persistence.DefaultBufferSize {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestPeersSelectClientsByNetwork(t *testing.T) {
	s, err := parseSettings(configOf(t, `{"capture": {"peers": ["10.0.0.0/8", "192.0.2.7", "fe80::/10", "::1"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.1.2.3": true, "11.1.2.3": false, "192.0.2.7": true, "192.0.2.8": false, "::ffff:10.1.2.3": true, "::1": true, "fe80::1%eth0": true, "2001:db8::1": false,
	} {
		if got := s.scope.includes(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if s.scope.includes(netip.Addr{}) {
		t.Error("a client without an address is in a network")
	}
}

// Networks and addresses that are mapped to IPv6 select the IPv4 clients that they stand for,
// however the clients' addresses are written.
func TestMappedPeersSelectIPv4Clients(t *testing.T) {
	for network, addresses := range map[string]map[string]bool{
		"::ffff:10.0.0.0/104":      {"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.1.2.3": false, "::1": false, "::a01:203": false},
		"::ffff:10.9.8.7/104":      {"10.1.2.3": true, "11.1.2.3": false},
		"::ffff:0:0/96":            {"10.1.2.3": true, "::ffff:203.0.113.9": true, "::1": false, "2001:db8::1": false},
		"::ffff:192.0.2.7":         {"192.0.2.7": true, "::ffff:192.0.2.7": true, "192.0.2.8": false},
		"::ffff:c000:207":          {"192.0.2.7": true, "192.0.2.6": false},
		"::FFFF:192.0.2.7/128":     {"192.0.2.7": true, "192.0.2.6": false},
		"0:0:0:0:0:ffff:a00::/":    nil,
		"0:0:0:0:0:ffff:a00:0/104": {"10.1.2.3": true, "11.1.2.3": false},
		"::ffff:10.0.0.0/95":       nil,
		"::ffff:10.0.0.0/129":      nil,
		"::ffff:10.0.0.0/0":        nil,
		"10.0.0.0/104":             nil,
		"0.0.0.0/0":                {"10.1.2.3": true, "::ffff:10.1.2.3": true, "::1": false},
		"::/0":                     {"::1": true, "2001:db8::1": true, "fe80::1%eth0": true, "10.1.2.3": false},
		"fe80::1%eth0":             {"fe80::1": true, "fe80::1%eth1": true, "fe80::2%eth0": false},
		"fe80::%eth0/10":           nil,
	} {
		s, err := parseSettings(object{"capture": object{"peers": []string{network}}})
		if (err != nil) != (addresses == nil) {
			t.Errorf("%s: %v", network, err)
			continue
		}
		for address, want := range addresses {
			if got := s.scope.includes(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s in %s: %v", address, network, got)
			}
		}
	}
}

func FuzzSettings(f *testing.F) {
	for _, c := range badSettings {
		f.Add([]byte(c.config))
	}
	f.Add([]byte(`{"output": {"dir": "/tmp"}, "guard": "on"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var config object
		if json.Unmarshal(text, &config) != nil {
			return
		}
		s, err := parseSettings(config)
		switch {
		case err != nil && (s != nil || !strings.HasPrefix(err.Error(), "tcpcopy: ") || len(err.Error()) < 20):
			t.Errorf("%s: %+v, %v", text, s, err)
		case err == nil && s.strategy != nil && s.strategy.Validate(model.LayerApp) != nil:
			t.Errorf("%s: accepted %+v", text, s.strategy)
		case err == nil && !(s.scope.sample >= 0 && s.scope.sample <= 1):
			t.Errorf("%s: accepted %+v", text, s.scope)
		}
	})
}
