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
	if table.stored != 0 {
		t.Errorf("%d keys left", table.stored)
	}
}

// A value that is added again replaces the one in the file, also where the file cannot be
// written any more: what is found is the last value or none.
func TestATableNeverReturnsAnEarlierValue(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	table := NewTable(10, func(dst []byte, v string) []byte { return append(dst, v...) }, func(b []byte) (string, bool) { return string(b), true })
	const n = 200
	key := func(i int) []byte { return fmt.Appendf(nil, "key %d", i) }
	for round, size := range []int{10, 100, 20, 30} {
		table.full = round == 3
		for i := range n {
			table.Add(key(i), fmt.Sprintf("%0*d", size, round))
		}
		found := 0
		for i := range n {
			if v, ok := table.Find(key(i)); ok {
				found++
				if want := fmt.Sprintf("%0*d", size, round); v != want {
					t.Fatalf("round %d, value %d is %q, want %q", round, i, v, want)
				}
			}
		}
		if all := round < 3; all && found != n || !all && found > table.held {
			t.Errorf("round %d: %d values are found", round, found)
		}
	}
	if left := table.stored; left > table.held {
		t.Errorf("%d keys are in the index after their values were forgotten", left)
	}
}
