package persistence

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// callsOf returns what the index says of the calls of each window.
func callsOf(t *testing.T, dir string) (counts []string) {
	t.Helper()
	lines, err := layout.ReadIndex(filepath.Join(dir, layout.Index))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		counts = append(counts, fmt.Sprint(l.Calls))
	}
	return counts
}

// Each window's line gets the calls of that window, whatever the format, and nothing
// waits for that.
func TestCallsAreCountedAfterTheWindow(t *testing.T) {
	const get = "GET / HTTP/1.1\r\n\r\n"
	for _, format := range []Format{FormatHexMeta, FormatPcapng} {
		t.Run(string(format), func(t *testing.T) {
			r := newHarness(t, func(c *Config) { c.Formats, c.Calls = []Format{format}, true }, nil)
			r.window(1, func(s *Session) {
				p := newPeer(r.run, 1)
				for i, status := range []int{200, 503, 404} {
					p.say(s, record.In, []byte(get))
					p.say(s, record.Out, []byte(fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s", status, i, strings.Repeat("x", i))))
				}
				newPeer(r.run, 2).say(s, record.In, []byte("who knows"))
			})
			r.window(2, func(s *Session) { newPeer(r.run, 3).say(s, record.In, []byte(get)) })
			r.store.Close()
			r.quiet()
			want := "[map[http/1.1:{3 1} tcp:{1 0}] map[http/1.1:{1 0}]]"
			if got := fmt.Sprint(callsOf(t, r.dir)); got != want {
				t.Errorf("calls %s, want %s", got, want)
			}
		})
	}
}

// Without the option nothing is decoded.
func TestCallsAreNotCountedUnlessAskedFor(t *testing.T) {
	r := newHarness(t, func(c *Config) { c.Formats = []Format{FormatPcapng} }, nil)
	r.window(1, func(s *Session) { newPeer(r.run, 1).say(s, record.In, []byte("GET / HTTP/1.1\r\n\r\n")) })
	r.store.Close()
	if got := fmt.Sprint(callsOf(t, r.dir)); got != "[map[]]" {
		t.Errorf("calls %s", got)
	}
}
