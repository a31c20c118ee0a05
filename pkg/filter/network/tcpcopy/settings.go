package tcpcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mosn.io/tcpcopy/internal/mask"
	"mosn.io/tcpcopy/internal/safedir"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
)

// settings is a filter's configuration block. A nil pointer means that the listener
// does not configure that part, which is the process's.
type settings struct {
	strategy *model.DumpConfig
	scope    scope
	output   *outputSettings
	buffer   *bufferSettings
	guard    *bool
}

// scope is the capture block: which part of a listener's traffic is recorded.
type scope struct {
	both   bool           // responses too
	peers  []netip.Prefix // client networks to record; none means all
	sample float64        // share of connections
	limit  uint64         // bytes of each direction of a connection in a window; 0 means all
}

// outputSettings is the output block.
type outputSettings struct {
	dir      string // "" means the default one
	formats  []persistence.Format
	roll     *persistence.Roll // nil means the process's default
	maxTotal int64
	minFree  persistence.MinFree
	calls    bool
}

// bufferSettings is the buffer block.
type bufferSettings struct {
	size    int64
	workers int
	spool   string
}

// parseSettings parses a filter's configuration block. The error names every fault:
// fields that are unknown, of a wrong type or out of range, with what is valid.
func parseSettings(config map[string]any) (*settings, error) {
	var errs []error
	top, err := blockOf(config, &errs)
	if err != nil {
		return nil, fmt.Errorf("tcpcopy: %w", err)
	}
	s := &settings{scope: scope{sample: 1}}
	if text := top.raw("strategy"); text != nil {
		s.strategy = parseStrategy(text, &errs)
	}
	if b := top.block("capture"); b != nil {
		s.scope = parseScope(b)
	}
	if b := top.block("output"); b != nil {
		s.output = parseOutput(b)
	}
	if b := top.block("buffer"); b != nil {
		s.buffer = parseBuffer(b)
	}
	if word, ok := top.word("guard", "on", "on", "off"); ok {
		on := word == "on"
		s.guard = &on
	}
	top.unknown()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("tcpcopy: %w", err)
	}
	return s, nil
}

func parseStrategy(text json.RawMessage, errs *[]error) *model.DumpConfig {
	c, err := model.ParseDumpConfig(text, model.LayerApp)
	if err != nil {
		*errs = append(*errs, inField("strategy", err)...)
		return nil
	}
	return &c
}

// inField returns the errors joined in err, with name before the fields that they
// name.
func inField(name string, err error) []error {
	var all []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			all = append(all, inField(name, e)...)
		}
		return all
	}
	var field *model.FieldError
	if errors.As(err, &field) {
		return []error{&model.FieldError{Field: strings.TrimSuffix(name+"."+field.Field, "."), Value: field.Value, Valid: field.Valid}}
	}
	return []error{fmt.Errorf("%s: %w", name, err)}
}

func parseScope(b *block) scope {
	c := scope{sample: 1}
	word, _ := b.word("direction", "request", "request", "both")
	c.both = word == "both"
	var peers []string
	if b.value("peers", &peers, `a list of networks such as ["10.0.0.0/8", "192.0.2.7"]`) {
		for _, text := range peers {
			p, err := parseNetwork(text)
			if err != nil {
				b.bad("peers", text, validNetwork)
			}
			c.peers = append(c.peers, p)
		}
	}
	if b.value("sample", &c.sample, "a share of connections from 0 to 1") && !(c.sample >= 0 && c.sample <= 1) {
		b.bad("sample", c.sample, "a share of connections from 0 to 1")
	}
	c.limit = uint64(b.size("max_bytes_per_connection", 0))
	b.unknown()
	return c
}

const validNetwork = "networks such as 10.0.0.0/8, 2001:db8::/32, or addresses such as 192.0.2.7; of IPv4 ones that are mapped to IPv6, those from ::ffff:0:0/96 on"

// mappedBits is the length of the prefix that all IPv4 addresses have when they are mapped to
// IPv6, bits.
const mappedBits = 96

// parseNetwork parses a network or an address. One that is mapped to IPv6 is returned as the
// IPv4 one that it stands for, because clients' addresses are compared so.
func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4In6() {
			return p, err
		}
		if p.Bits() < mappedBits {
			return netip.Prefix{}, fmt.Errorf("%q is neither IPv4 nor IPv6", text)
		}
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap()
	return a.Prefix(a.BitLen())
}

const onOrOff = `"on" or "off"`

func parseOutput(b *block) *outputSettings {
	d := persistence.DefaultConfig()
	o := &outputSettings{formats: d.Formats, maxTotal: d.MaxTotal, minFree: d.MinFree}
	if b.value("dir", &o.dir, "an absolute path") && !filepath.IsAbs(o.dir) {
		b.bad("dir", o.dir, "an absolute path")
	}
	var formats []string
	if b.value("formats", &formats, `a list of formats such as ["hex_meta", "pcapng"]`) {
		o.formats = nil
		for _, f := range formats {
			o.formats = append(o.formats, persistence.Format(f))
		}
	}
	var words string
	if b.value("roll", &words, "roller words such as size=256 age=7 keep=10 compress=on") {
		roll, err := persistence.ParseRoll(words)
		if err != nil {
			*b.errs = append(*b.errs, withNames(err, fieldNames()))
		}
		o.roll = &roll
	}
	o.maxTotal = b.size("max_total", o.maxTotal)
	var count string
	if b.value("calls", &count, onOrOff) {
		if o.calls = count == "on"; !o.calls && count != "off" {
			b.bad("calls", count, onOrOff)
		}
	}
	check := d
	check.Formats, check.MaxTotal, check.Calls = o.formats, o.maxTotal, o.calls
	b.check(check)
	var free json.RawMessage
	if free = b.raw("min_free"); free != nil {
		var err error
		if o.minFree, err = persistence.ParseMinFree(scalarText(free)); err != nil {
			b.bad("min_free", mask.Scalar(free), err.Error())
		}
	}
	b.unknown()
	return o
}

func parseBuffer(b *block) *bufferSettings {
	d := persistence.DefaultConfig()
	s := &bufferSettings{size: d.BufferSize, workers: d.Workers, spool: d.Spool}
	s.size = b.size("size", s.size)
	b.value("workers", &s.workers, "a whole number, 0 means one per processor")
	if b.value("spool", &s.spool, `"auto", "off" or the absolute path of a directory`) &&
		s.spool != persistence.SpoolAuto && s.spool != persistence.SpoolOff && !filepath.IsAbs(s.spool) {
		b.bad("spool", s.spool, `"auto", "off" or the absolute path of a directory`)
	}
	check := d
	check.BufferSize, check.Workers = s.size, s.workers
	b.check(check)
	b.unknown()
	return s
}

// fieldNames returns the configuration's names of the fields of persistence.Config.
func fieldNames() map[string]string {
	return map[string]string{
		"Dir":        "output.dir",
		"Formats":    "output.formats",
		"Roll":       "output.roll",
		"MaxTotal":   "output.max_total",
		"MinFree":    "output.min_free",
		"Calls":      "output.calls",
		"BufferSize": "buffer.size",
		"Workers":    "buffer.workers",
	}
}

// check adds the faults of c, by the configuration's names.
func (b *block) check(c persistence.Config) {
	for _, err := range c.Validate() {
		*b.errs = append(*b.errs, withNames(err, fieldNames()))
	}
}

// withNames returns err with the fields of its field errors, joined ones too, named
// by names. A field that is not in names keeps its name.
func withNames(err error, names map[string]string) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, withNames(e, names))
		}
		return errors.Join(all...)
	}
	var f *model.FieldError
	if errors.As(err, &f) && names[f.Field] != "" {
		return &model.FieldError{Field: names[f.Field], Value: f.Value, Valid: f.Valid}
	}
	return err
}

// storeConfig returns the configuration of a store for the blocks, both of which may be
// nil. roll is in force where the output block has none.
func storeConfig(o *outputSettings, b *bufferSettings, roll persistence.Roll) (persistence.Config, error) {
	c := persistence.DefaultConfig()
	c.Roll = roll
	dir := ""
	if o != nil {
		dir, c.Formats, c.MaxTotal, c.MinFree, c.Calls = o.dir, slices.Clone(o.formats), o.maxTotal, o.minFree, o.calls
		if o.roll != nil {
			c.Roll = *o.roll
		}
	}
	if b != nil {
		c.BufferSize, c.Workers, c.Spool = b.size, b.workers, b.spool
	}
	if dir != "" {
		c.Dir = filepath.Clean(dir)
		return c, nil
	}
	var err error
	c.Dir, err = defaultDir()
	return c, err
}

// defaultDir returns the directory in which Layotto's users look for dumps: under
// /home/admin, or under the user's own home if that cannot be used. It creates the
// former.
func defaultDir() (string, error) {
	fault := useSharedDir()
	if fault == nil {
		return layout.DefaultDir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("output.dir is not set, there is no home directory (%w), and %w", err, fault)
	}
	return layout.HomeDir(home), nil
}

// useSharedDir creates layout.DefaultDir. It returns an error if that cannot be created
// or written, or if it or a directory above it belongs to another user. Other faults,
// such as a mode, the user can mend: they are those of the store.
func useSharedDir() error {
	d := safedir.New(layout.DefaultDir)
	defer d.Close()
	err := d.Prepare()
	var unfit *safedir.UnfitError
	if errors.As(err, &unfit) && unfit.Err == nil {
		return nil
	}
	return err
}
