package spill

import (
	"fmt"
	"testing"
)

func TestATableRemembersMoreThanItHolds(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	table := NewTable(100, func(dst []byte, v string) []byte { return append(dst, v...) }, func(b []byte) (string, bool) { return string(b), true })
	const n = 5000
	key := func(i int) []byte { return fmt.Appendf(nil, "key %d", i) }
	value := func(i, round int) string { return fmt.Sprintf("value %d.%0*d", i, i%50, round) }
	for round := range 3 {
		for i := range n {
			if round > 0 {
				if v, ok := table.Find(key(i)); !ok || v != value(i, round-1) {
					t.Fatalf("round %d, value %d: %q, %t", round, i, v, ok)
				}
			}
			table.Add(key(i), value(i, round))
		}
		if len(table.young)+len(table.old) > 100 {
			t.Errorf("%d values in memory", len(table.young)+len(table.old))
		}
	}
	for i := range n {
		table.Remove(key(i))
		if v, ok := table.Find(key(i)); ok {
			t.Fatalf("value %d is still there: %q", i, v)
		}
	}
	if len(table.index) > 0 {
		t.Errorf("%d keys left", len(table.index))
	}
}
