package replay_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/pkg/replay"
)

// page returns the report of a replay that has everything in it.
func page(t *testing.T) (*replay.Result, string) {
	t.Helper()
	r := lineScenario(2, 3)
	c := r.open(0, 7000)
	c.in("<script>alert(1)</script>\n").out("\x00\xff binary </pre>\n").close("RemoteClose")
	r.open(0, 7000).in("ab").gap(0, 10).out("x").close("RemoteClose")
	server := serve(t, lines(func(line string) []byte {
		switch line {
		case "line 1 of 0":
			return []byte("<b>other</b>")
		case "line 2 of 1":
			return nil
		}
		return shout(line)
	}))
	result := r.run(t, replay.Options{Target: server, Speed: math.Inf(1), TurnTimeout: silenceTimeout})
	var b bytes.Buffer
	if err := result.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	return result, b.String()
}

func TestReportStandsAlone(t *testing.T) {
	t.Parallel()
	result, text := page(t)
	want(t, result, replay.Counts{Turns: 7, Equal: 4, Different: 2, Missing: 1})
	for _, part := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "<mark>&lt;b&gt;other&lt;/b&gt;</mark>", "left out: has gaps", "no answer came", `<path class="old" d="M0 `, "00 ff",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the page has no %q", part)
		}
	}
	if match := regexp.MustCompile(`(?i)<script|<b>other|src=|href=|url\(|@import`).FindString(text); match != "" {
		t.Errorf("the page has %q", match)
	}
	// Each element is ended where it should be.
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!doctype html>")))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	depth := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			depth--
		}
	}
	if depth != 0 {
		t.Errorf("%d elements have no end", depth)
	}
}

func TestReportOfNothingHasNoEmptyParts(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := (&replay.Result{Target: "127.0.0.1:1", Speed: 1, Mode: replay.Turns, Bytes: record.PerDirection{}}).WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "Differences") || strings.Contains(b.String(), "<svg") {
		t.Error("the page has empty parts")
	}
}
