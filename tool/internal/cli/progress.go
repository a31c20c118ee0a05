package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress draws a bar on a terminal while work takes longer than a second.
type progress struct {
	stop context.CancelFunc
	done sync.WaitGroup // the goroutine that draws
}

// startProgress begins to draw. measure returns how much of the work is done, from
// any goroutine. Nothing is drawn where w is not a terminal. Call end before
// writing anything else to w.
func startProgress(ctx context.Context, w io.Writer, what string, measure func() (done, total int64)) *progress {
	ctx, stop := context.WithCancel(ctx)
	p := &progress{stop: stop}
	if !isTerminal(w) {
		return p
	}
	p.done.Add(1)
	go func() {
		defer p.done.Done()
		draw(ctx, w, what, measure)
	}()
	return p
}

// draw redraws the bar until ctx ends, and removes it then.
func draw(ctx context.Context, w io.Writer, what string, measure func() (done, total int64)) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	began, drawn := time.Now(), false
	for {
		select {
		case <-ctx.Done():
			if drawn {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return
		case <-ticker.C:
		}
		if done, total := measure(); time.Since(began) > time.Second && total > 0 {
			fmt.Fprint(w, "\r\x1b[K", bar(what, done, total))
			drawn = true
		}
	}
}

// bar returns one line.
func bar(what string, done, total int64) string {
	const width = 30
	share := min(float64(done)/float64(total), 1)
	full := int(share * width)
	return fmt.Sprintf("%s [%s%s] %3.0f %%", what, strings.Repeat("=", full), strings.Repeat(" ", width-full), share*100)
}

// end removes the bar. It may be called more than once.
func (p *progress) end() {
	p.stop()
	p.done.Wait()
}
