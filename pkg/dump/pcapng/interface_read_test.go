package pcapng

import (
	"testing"
	"time"
)

func TestTimesOfAnyUnit(t *testing.T) {
	const second = 1_700_000_000
	for _, c := range []struct {
		unit   byte
		offset int64
		stamp  uint64
		want   string // empty: no time of a calendar
	}{
		{9, 0, second*1e9 + 123_456_789, "2023-11-14T22:13:20.123456789Z"},
		{6, 0, second*1e6 + 123_456, "2023-11-14T22:13:20.123456Z"},
		{3, 0, second*1e3 + 123, "2023-11-14T22:13:20.123Z"},
		{0, 0, second, "2023-11-14T22:13:20Z"},
		{0, -second, second, "1970-01-01T00:00:00Z"},
		{6, 1_000_000_000, 700_000_000 * 1e6, "2023-11-14T22:13:20Z"},
		{10, 0, second*1e10 - 1, "2023-11-14T22:13:19.999999999Z"},
		{19, 0, 15_000_000_000_000_000_000, "1970-01-01T00:00:01.5Z"},
		{20, 0, 15_000_000_000_000_000_000, "1970-01-01T00:00:00.15Z"},
		{28, 0, 15_000_000_000_000_000_000, "1970-01-01T00:00:00.000000001Z"},
		{29, 0, 15_000_000_000_000_000_000, "1970-01-01T00:00:00Z"},
		{0x7f, 0, 1<<64 - 1, "1970-01-01T00:00:00Z"},
		{0x80, 0, second, "2023-11-14T22:13:20Z"},
		{0x80 | 10, 0, second<<10 | 512, "2023-11-14T22:13:20.5Z"},
		{0x80 | 32, 0, second<<32 | 1<<30, "2023-11-14T22:13:20.25Z"},
		{0x80 | 33, 0, second<<33 | 1<<32, "2023-11-14T22:13:20.5Z"},
		{0x80 | 63, 0, 3 << 62, "1970-01-01T00:00:01.5Z"},
		{0x80 | 64, 0, 3 << 62, "1970-01-01T00:00:00.75Z"},
		{0x80 | 65, 0, 3 << 62, "1970-01-01T00:00:00.375Z"},
		{0xff, 0, 1<<64 - 1, "1970-01-01T00:00:00Z"},
		{0, 0, 253402300799, "9999-12-31T23:59:59Z"},
		{0, 0, 253402300800, ""},
		{0, 0, 1<<64 - 1, ""},
		{0, -62135596800, 0, "0001-01-01T00:00:00Z"},
		{0, -62135596801, 0, ""},
		{0, -1 << 63, 1<<64 - 1, ""},
		{0, 1<<63 - 1, 1, ""},
		{9, -1 << 63, 1, ""},
	} {
		i := capturedInterface{unit: c.unit, offset: c.offset}
		got, ok := i.time(uint32(c.stamp>>32), uint32(c.stamp))
		if ok != (c.want != "") || ok && got.UTC().Format(time.RFC3339Nano) != c.want {
			t.Errorf("%d units of %#x after %d: %v, %t; want %s", c.stamp, c.unit, c.offset, got.UTC(), ok, c.want)
		}
	}
}

func TestUnknownInterfaceOptionsChangeNothing(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		want    capturedInterface
	}{
		"none":                    {"", capturedInterface{link: 101, unit: 6}},
		"both":                    {"\x09\x00\x01\x00\x09\x00\x00\x00\x0e\x00\x08\x00\xff\xff\xff\xff\xff\xff\xff\xff", capturedInterface{link: 101, unit: 9, offset: -1}},
		"unknown ones":            {"\xb4\x0b\x03\x00abc\x00\x09\x00\x01\x00\x83\x00\x00\x00\x00\x00\x00\x00", capturedInterface{link: 101, unit: 0x83}},
		"of a wrong length":       {"\x09\x00\x02\x00\x09\x00\x00\x00", capturedInterface{link: 101, unit: 6}},
		"after the end":           {"\x00\x00\x00\x00\x09\x00\x01\x00\x09\x00\x00\x00", capturedInterface{link: 101, unit: 6}},
		"longer than their block": {"\x09\x00\x01\x00\x09\x00\x00\x00\x0e\x00\x08\x00\xff", capturedInterface{link: 101, unit: 9}},
	} {
		got, err := parseInterface(block{body: []byte("\x65\x00\x00\x00\x00\x00\x00\x00" + c.options)})
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}
