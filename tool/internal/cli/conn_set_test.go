package cli

import (
	"fmt"
	"testing"
)

func TestConnSet(t *testing.T) {
	var s connSet
	if s.has("k3v9qa-1") || s.has("all-8080") || s.has("") {
		t.Error("the empty set has something")
	}
	in := []string{"k3v9qa-0", "k3v9qa-63", "k3v9qa-64", "k3v9qa-18446744073709551615", "k3v9qb-1", "all-8080", "all-/run/x.sock", "unknown-10.0.0.1:80", "a-b-7", "-5", "", "x-007"}
	for _, conn := range in {
		s.add(conn)
	}
	for _, conn := range in {
		if !s.has(conn) {
			t.Errorf("%q is not there", conn)
		}
	}
	for _, conn := range []string{"k3v9qa-1", "k3v9qa-00", "k3v9qa-063", "k3v9qa-+63", "k3v9qa-", "k3v9qa", "k3v9qb-0", "k3v9qc-1", "k3v9qa-18446744073709551616", "x-7", "all-8081"} {
		if s.has(conn) {
			t.Errorf("%q is there", conn)
		}
	}
}

func BenchmarkConnSet(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		var s connSet
		for i := range 1000 {
			s.add(fmt.Sprint("k3v9qa-", i))
		}
	}
}
