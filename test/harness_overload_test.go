package test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// lost returns the bytes that the recorder has lost so far, in all.
func lost(t *testing.T, m *mosn) uint64 {
	t.Helper()
	w := mustStatus(deadline(t), t, m).Window
	if w == nil {
		t.Fatal("the window is closed")
	}
	return w.Accounts.Lost.In + w.Accounts.Lost.Out
}

// watchBuffer looks at the buffer's use until stop is called: it must never be
// more than its size.
func watchBuffer(t *testing.T, m *mosn) (stop func()) {
	ctx, cancel := context.WithCancel(deadline(t))
	var running sync.WaitGroup
	running.Add(1)
	go func() { // ends with stop
		defer running.Done()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			status, err := m.Admin.Status(ctx)
			if err == nil && (status.Buffer.Used > status.Buffer.Size || status.Buffer.Size != 64<<10) {
				t.Errorf("the buffer holds %d bytes of %d", status.Buffer.Used, status.Buffer.Size)
			}
		}
	}()
	return func() {
		cancel()
		running.Wait()
	}
}
