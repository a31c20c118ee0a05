package dumptest

import (
	"testing"

	"mosn.io/tcpcopy/internal/oracle"
)

// Packets returns the packets of a pcapng file as the oracle decodes them, and fails
// the test where lengths or checksums are wrong.
func Packets(t *testing.T, file []byte) []oracle.Packet {
	t.Helper()
	all, err := oracle.Packets(file)
	if err != nil {
		t.Fatal("oracle:", err)
	}
	for i, p := range all {
		if p.Time < Time {
			t.Fatalf("packet %d has the time %d", i+1, p.Time)
		}
	}
	return all
}
