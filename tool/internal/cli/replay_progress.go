package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"mosn.io/tcpcopy/pkg/replay"
)

// replayProgress draws a line on a terminal while a replay takes longer than a
// second.
type replayProgress struct {
	stop context.CancelFunc
	done sync.WaitGroup // the goroutine that draws
}

// startReplayProgress begins to draw on w, where that is a terminal. Call end
// before writing anything else to it.
func startReplayProgress(ctx context.Context, w io.Writer, r *replay.Replayer) *replayProgress {
	ctx, stop := context.WithCancel(ctx)
	p := &replayProgress{stop: stop}
	if !isTerminal(w) {
		return p
	}
	p.done.Add(1)
	go func() { // ends with ctx, which end ends
		defer p.done.Done()
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		began := time.Now()
		for {
			select {
			case <-ctx.Done():
				fmt.Fprint(w, "\r\x1b[K")
				return
			case <-ticker.C:
			}
			if time.Since(began) > time.Second {
				fmt.Fprint(w, "\r\x1b[K", replayLine(r.Progress()))
			}
		}
	}()
	return p
}

// replayLine returns one line.
func replayLine(p replay.Progress) string {
	return fmt.Sprintf("%d sent, %d answered, %d different, %d failed (%d of %d connections)",
		p.Sent, p.Answered, p.Different, p.Failed, p.Connections, p.Total)
}

// end removes the line. It may be called more than once.
func (p *replayProgress) end() {
	p.stop()
	p.done.Wait()
}
