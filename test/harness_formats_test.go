package test

import (
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
)

// formatSets are the choices of output.formats that keep both directions of a
// stream, for tests that read them through pkg/dump.
var formatSets = [][]string{{"hex_meta"}, {"pcapng"}, {"hex_meta", "pcapng"}}

// readAs names the formats as pkg/dump does.
var readAs = map[string]dump.Format{"hex_meta": dump.FormatHex, "pcapng": dump.FormatPcapng}

// eachFormat runs test for each set of formats, with the output block of one.
func eachFormat(t *testing.T, test func(t *testing.T, base string, output block, formats []string)) {
	t.Parallel()
	for _, formats := range formatSets {
		t.Run(strings.Join(formats, " and "), func(t *testing.T) {
			t.Parallel()
			base := newBase(t)
			test(t, base, block{"output": block{"dir": dumpDir(base), "formats": formats}}, formats)
		})
	}
}

func gapsOf(s oracle.Stream) (n int) {
	for _, p := range s.Pieces {
		if p.Kind == oracle.Gap {
			n++
		}
	}
	return n
}
