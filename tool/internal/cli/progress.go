package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress draws a line on a terminal while work takes longer than a second.
type progress struct {
	stop context.CancelFunc // ends the goroutine that draws
	done sync.WaitGroup     // the goroutine that draws
}

// startProgress begins to draw. line returns what to draw, or "" for nothing; it is
// called from another goroutine. Nothing is drawn where w is not a terminal. Call end
// before writing anything else to w.
func startProgress(ctx context.Context, w io.Writer, line func() string) *progress {
	ctx, stop := context.WithCancel(ctx)
	p := &progress{stop: stop}
	if !isTerminal(w) {
		return p
	}
	p.done.Add(1)
	go func() { // ends with ctx, which end cancels
		defer p.done.Done()
		draw(ctx, w, line)
	}()
	return p
}

// draw redraws the line until ctx ends, and removes it then.
func draw(ctx context.Context, w io.Writer, line func() string) {
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
		if time.Since(began) <= time.Second {
			continue
		}
		if text := line(); text != "" {
			fmt.Fprint(w, "\r\x1b[K", text)
			drawn = true
		}
	}
}

// end removes the line. It may be called more than once.
func (p *progress) end() {
	p.stop()
	p.done.Wait()
}

// bar returns a line for work of which done of total is done, or "" where total is 0.
func bar(what string, done, total int64) string {
	if total <= 0 {
		return ""
	}
	const width = 30
	share := min(float64(done)/float64(total), 1)
	full := int(share * width)
	return fmt.Sprintf("%s [%s%s] %3.0f %%", what, strings.Repeat("=", full), strings.Repeat(" ", width-full), share*100)
}
