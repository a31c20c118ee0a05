package recent

import (
	"fmt"
	"testing"
)

func TestConnectionsOfTwoWindowsAgoAreForgotten(t *testing.T) {
	var table Table[string, int]
	table.Add("a", "1", 1)
	table.Add("b", "2", 2)
	table.Add("c", "1", 3) // still among the windows that began last
	table.Add("d", "3", 4)
	if _, ok := table.Find("a"); ok {
		t.Error("known after two windows")
	}
	if v, ok := FindBytes(&table, []byte("c")); !ok || v != 3 {
		t.Errorf("of the older generation: %d %t", v, ok)
	}
	table.Add("e", "4", 5)
	if _, ok := table.Find("c"); !ok {
		t.Error("not known although it was used in the generation before")
	}
	table.Remove("c")
	if _, ok := table.Find("c"); ok {
		t.Error("known after it was removed")
	}
}

func TestTheNumberOfConnectionsIsBounded(t *testing.T) {
	var table Table[string, int]
	for i := range 3 * MaxConnections {
		table.Add(fmt.Sprint(i), "1", i)
	}
	if n := len(table.young) + len(table.old); n > MaxConnections {
		t.Errorf("%d connections, want %d at most", n, MaxConnections)
	}
	for i := range 3 * MaxConnections {
		v, ok := table.young[fmt.Sprint(i)]
		if !ok {
			v, ok = table.old[fmt.Sprint(i)]
		}
		if want := i >= 2*MaxConnections; ok != want || ok && v.value != i {
			t.Fatalf("connection %d: known %t as %d, want %t", i, ok, v.value, want)
		}
	}
}

func TestFindBytesAllocatesNothing(t *testing.T) {
	var table Table[string, *int]
	key := []byte("a key that is longer than what the stack holds for a string")
	table.Add(string(key), "1", new(int))
	if n := testing.AllocsPerRun(100, func() { FindBytes(&table, key) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
