package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mosn.io/tcpcopy/pkg/record"
)

func TestDirectionsOfASessionHaveTheirColours(t *testing.T) {
	var b bytes.Buffer
	c := newSessionPrinter(&b, &output{utc: true}, colours{out: "<B>", lost: "<M>", reset: "<0>"}, formText)
	at := time.Unix(0, 0)
	data := func(dir record.Direction, text string) *record.Record {
		return &record.Record{Kind: record.KindData, Time: at, Direction: dir, Data: []byte(text), Length: uint64(len(text))}
	}
	for _, r := range []*record.Record{
		data(record.In, "first line\r\nhalf "), data(record.In, "of the second"), data(record.Out, "answer\nno end"),
		{Kind: record.KindGap, Time: at, Direction: record.Out, Offset: 7, Length: 9, Reason: "guard"}, data(record.Out, "rest"),
	} {
		if err := c.write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
	want := `> first line
> half of the second
<B>< answer<0>
<B>< no end<0>
<M>[< 9 bytes are missing at offset 7: guard]<0>
<B>< rest<0>
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

func TestColoursOnlyOnTerminals(t *testing.T) {
	var b bytes.Buffer
	tool := &tool{screen: &b, getenv: func(string) string { return "" }}
	if tool.colours() != (colours{}) {
		t.Error("colours in a file")
	}
}

func TestSizesAreRounded(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 200 << 20: "200 MiB", 1<<64 - 1: "16.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) is %q, want %q", n, got, want)
		}
	}
}

func TestLengthsHaveNoZeros(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 1500 * time.Microsecond: "2ms", 1234 * time.Millisecond: "1.23s", 3 * time.Minute: "3m", 63 * time.Second: "1m3s",
		time.Hour: "1h", 10 * time.Hour: "10h", 61 * time.Minute: "1h1m", time.Hour + time.Second: "1h0m1s", 30 * time.Minute: "30m",
	} {
		if got := length(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestTheBarEndsAtAHundredPercent(t *testing.T) {
	if got, want := bar("reading", 1, 2), "reading [===============               ]  50 %"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := bar("reading", 5, 2); !strings.HasSuffix(got, "100 %") {
		t.Errorf("beyond the end: %q", got)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add([]byte("\x1b[2Jtext\r\n\xff\u202e\u0085\u009b31m"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, lines := range []bool{false, true} {
			got := appendEscaped(nil, payload, lines)
			if !utf8.Valid(got) {
				t.Fatalf("%q is not UTF-8", got)
			}
			for _, r := range string(got) {
				if (r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e) && !(lines && (r == '\n' || r == '\t')) {
					t.Fatalf("%q has %U", got, r)
				}
			}
		}
	})
}
