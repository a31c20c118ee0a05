package layout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

func TestReadIndexGoesOnBehindDamage(t *testing.T) {
	dir := t.TempDir()
	good := func(window string) []byte {
		text, err := json.Marshal(layout.WindowLine{Window: window, Accounts: record.Accounts{Seen: record.PerDirection{In: 7}}})
		if err != nil {
			t.Fatal(err)
		}
		return append(text, '\n')
	}
	first := good("a")
	long := append(bytes.Repeat([]byte(" "), 1<<20), '\n')
	path := filepath.Join(dir, layout.Index)
	text := slices.Concat(first, []byte("{\"window\": garbage\n"), good("b"), []byte("\n{}\n"), long, good("c"), first[:20])
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	lines, err := layout.ReadIndex(path)
	var got []string
	for _, w := range lines {
		got = append(got, fmt.Sprint(w.Window, w.Seen.In))
	}
	if fmt.Sprint(got) != "[a7 b7 c7]" {
		t.Errorf("windows %v", got)
	}
	var d *record.DamageError
	if !errors.As(err, &d) || d.Offset != int64(len(first)) || strings.Count(err.Error(), "damaged at byte") != 4 {
		t.Errorf("damage %v, want four faults, the first at %d", err, len(first))
	}
}
