package persistence

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

func TestConfigNamesEveryFault(t *testing.T) {
	good := DefaultConfig()
	if errs := good.Validate(); len(errs) > 0 {
		t.Errorf("the defaults: %v", errs)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		fields []string
	}{
		"no format":        {func(c *Config) { c.Formats = nil }, []string{"Formats"}},
		"unknown format":   {func(c *Config) { c.Formats = []Format{"pcap"} }, []string{"Formats"}},
		"format twice":     {func(c *Config) { c.Formats = []Format{FormatPcapng, FormatPcapng} }, []string{"Formats"}},
		"two text formats": {func(c *Config) { c.Formats = []Format{FormatHex, FormatHexMeta} }, []string{"Formats"}},
		"small buffer":     {func(c *Config) { c.BufferSize = MinBufferSize - 1 }, []string{"BufferSize"}},
		"large buffer":     {func(c *Config) { c.BufferSize = maxBufferSize + 1 }, []string{"BufferSize"}},
		"workers":          {func(c *Config) { c.Workers = -1 }, []string{"Workers"}},
		"many workers":     {func(c *Config) { c.Workers = maxWorkers + 1 }, []string{"Workers"}},
		"no room at all":   {func(c *Config) { c.MaxTotal = 1 }, []string{"MaxTotal"}},
		"all at once": {func(c *Config) { c.Formats, c.BufferSize, c.Workers, c.MaxTotal = []Format{"x"}, 0, -1, -1 },
			[]string{"Formats", "MaxTotal", "BufferSize", "Workers"}},
	} {
		bad := DefaultConfig()
		c.change(&bad)
		var fields []string
		for _, err := range bad.Validate() {
			var f *model.FieldError
			if !errors.As(err, &f) || f.Valid == "" {
				t.Errorf("%s: %v", name, err)
				continue
			}
			fields = append(fields, f.Field)
		}
		if !slices.Equal(fields, c.fields) {
			t.Errorf("%s: faults in %q, want %q", name, fields, c.fields)
		}
	}
}

func TestConfigsThatAskForTheSame(t *testing.T) {
	a, b := DefaultConfig(), DefaultConfig()
	if !a.Equal(b) {
		t.Error("the defaults differ")
	}
	b.MinFree.Bytes = 1
	if a.Equal(b) {
		t.Error("min_free makes no difference")
	}
	b = DefaultConfig()
	b.Formats = []Format{FormatHex, FormatPcapng}
	if a.Equal(b) || b.textFormat() != FormatHex || !b.Has(FormatPcapng) || a.Has(FormatPcapng) {
		t.Error("formats make no difference")
	}
}

// A field that Equal forgets would leave a changed configuration without effect.
func TestEqualComparesEveryField(t *testing.T) {
	for i := range reflect.TypeFor[Config]().NumField() {
		a, b := DefaultConfig(), DefaultConfig()
		switch f := reflect.ValueOf(&b).Elem().Field(i); f.Kind() {
		case reflect.String:
			f.SetString("other")
		case reflect.Int, reflect.Int64:
			f.SetInt(f.Int() + 1)
		case reflect.Bool:
			f.SetBool(!f.Bool())
		case reflect.Slice:
			f.Set(reflect.MakeSlice(f.Type(), 2, 2))
		case reflect.Struct: // Roll and MinFree, which == compares
			f.Set(reflect.ValueOf(map[string]any{"Roll": Roll{Keep: 1}, "MinFree": MinFree{Bytes: 1}}[reflect.TypeFor[Config]().Field(i).Name]))
		}
		if a.Equal(b) || b.Equal(a) || !b.Equal(b) {
			t.Errorf("Equal does not compare %s", reflect.TypeFor[Config]().Field(i).Name)
		}
	}
}

// Files are small enough for retention to have something to remove.
func TestRollingLeavesRoomForRetention(t *testing.T) {
	for _, c := range []struct {
		size, limit, want int64
	}{
		{0, 0, 0}, {5 << 20, 0, 5 << 20}, {0, 8 << 20, 1 << 20}, {5 << 20, 8 << 20, 1 << 20}, {1 << 20, 80 << 20, 1 << 20},
	} {
		config := Config{Roll: Roll{Size: c.size, Keep: 3}, MaxTotal: c.limit}
		if got := config.rolling(); got.Size != c.want || got.Keep != 3 {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestParseRoll(t *testing.T) {
	day := 24 * time.Hour
	for words, want := range map[string]Roll{
		"":                                    {Size: 1000 << 20, Age: 7 * day, Keep: 10},
		"size=256 age=7 keep=10 compress=on":  {Size: 256 << 20, Age: 7 * day, Keep: 10, Compress: true},
		"time=1":                              {Every: time.Hour, Age: 7 * day, Keep: 10},
		" time=24  size=1 keep=0 age=0 ":      {Every: day, Size: 1 << 20},
		"compress=off":                        {Size: 1000 << 20, Age: 7 * day, Keep: 10},
		"size=1048576 age=3650 keep=1048576 ": {Size: 1 << 40, Age: 3650 * day, Keep: 1 << 20},
	} {
		if got, err := ParseRoll(words); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", words, got, err, want)
		}
	}
	for _, words := range []string{"size", "size=0", "size=-1", "size=x", "size=1048577", "time=0", "time=25", "age=-1", "age=3651", "keep=-1", "keep=", "compress=yes", "speed=1", "=1", "size=1MiB"} {
		var f *model.FieldError
		if _, err := ParseRoll(words); !errors.As(err, &f) || f.Field != "Roll" || f.Value != words || f.Valid == "" {
			t.Errorf("%q: %v", words, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1B": 1, "64MiB": 64 << 20, " 10 GiB ": 10 << 30, "512KiB": 512 << 10, "1.5KiB": 1536,
		"1KB": 1000, "2MB": 2e6, "3GB": 3e9, "1TB": 1e12, "1TiB": 1 << 40, "007": 7,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e3", "0x10", "1_000", "inf", "NaN", "1 parsec", "1mib", "9223372036854775808", "99999999TiB", "+1"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestParseMinFree(t *testing.T) {
	for text, want := range map[string]MinFree{
		"5%": {Percent: 5}, "0%": {}, " 99.5 % ": {Percent: 99.5}, "1GiB": {Bytes: 1 << 30}, "0": {},
	} {
		if got, err := ParseMinFree(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"100%", "-1%", "%", "NaN%", "x%", "-1", "some"} {
		if got, err := ParseMinFree(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
	if got := (MinFree{Percent: 50, Bytes: 1}).bytes(math.MaxUint32 + 1); got != 1<<31+1 {
		t.Errorf("half of 4 GiB is %d", got)
	}
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"0", "64MiB", "1.5GiB", "5%", "-1", "1e9", "∞"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseSize(text); err == nil && n < 0 || err != nil && err.Error() == "" {
			t.Errorf("%q: %d, %v", text, n, err)
		}
		if m, err := ParseMinFree(text); err == nil && (m.Bytes < 0 || !(m.Percent >= 0 && m.Percent < 100)) {
			t.Errorf("%q: %+v", text, m)
		}
		if r, err := ParseRoll(text); err == nil && (r.Size < 0 || r.Every < 0 || r.Every > 24*time.Hour) || err != nil && !strings.Contains(err.Error(), "Roll") {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	})
}
