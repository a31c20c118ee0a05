package pcapng_test

import (
	"bytes"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
)

// A flow whose state was bytes between its events goes on as if it had not been.
func TestAStateIsRestored(t *testing.T) {
	for seed := range uint64(8) {
		encode := func(restore bool) (file []byte) {
			encoder := pcapng.NewEncoder()
			events := dumptest.RandomEvents(seed, 20)
			for i := range events {
				if i%50 == 49 {
					encoder.NewSegment()
				}
				if f := events[i].Flow; restore && f.State != nil {
					b := pcapng.AppendState(nil, f)
					f.State = nil
					pcapng.RestoreState(f, b)
				}
				file = dumptest.Encode(file, encoder, events[i:i+1])
			}
			return file
		}
		if got, want := encode(true), encode(false); !bytes.Equal(got, want) {
			t.Errorf("seed %d: %d bytes, not the %d bytes of a state that stays", seed, len(got), len(want))
		}
	}
}
