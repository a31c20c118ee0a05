package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// maxRecord is the longest window that the admin API opens.
const maxRecord = time.Hour

func (t *tool) recordCommand() *cobra.Command {
	var length time.Duration
	var ignoreGuard bool
	cmd := &cobra.Command{
		Use:   "record --for DURATION",
		Short: "Record now, for a while",
		Long: `record opens a window at once, also while scheduled recording is off, waits
until it has closed and its records are on disk, and lists it as "windows"
does. Ctrl-C closes the window early.

While CPU or memory use is at its limit, the guard refuses the window, or
pauses it. With --ignore-guard it does neither: the recorder then adds its load
to that of a busy machine. FORCE_OFF, and what memory the window needs, still
count.`,
		Example: `  tcpcopyctl record --for 10s
  tcpcopyctl record --for 5s --ignore-guard
  tcpcopyctl record --for 1m -o json | jq .lost`,
		Args: atMost(0),
	}
	a := t.adminFlags(cmd)
	o := t.addOutput(cmd)
	cmd.Flags().DurationVar(&length, "for", 10*time.Second, "how `long`, from 1s to 1h")
	cmd.Flags().BoolVar(&ignoreGuard, "ignore-guard", false, "record whatever the use of CPU and memory is")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := o.json(cmd); err != nil {
			return err
		}
		seconds := int((length + time.Second - 1) / time.Second)
		if length <= 0 || length > maxRecord {
			return misused(cmd, "--for is %v, valid: 1s to 1h", length)
		}
		c, err := a.client(cmd)
		if err != nil {
			return err
		}
		id, err := t.record(cmd.Context(), c, seconds, ignoreGuard)
		if err != nil {
			return err
		}
		return t.printRecorded(cmd, o, c, id)
	}
	return cmd
}

// openedAnswer is the answer to a request that opens a window.
type openedAnswer struct {
	Window string    `json:"window"`
	Closes time.Time `json:"closes"`
	Guard  string    `json:"guard"`
	Paused string    `json:"paused"` // why nothing is recorded at first
}

// missing implements answer.
func (a *openedAnswer) missing() string {
	switch {
	case a.Window == "":
		return "window"
	case a.Closes.IsZero():
		return "closes"
	}
	return ""
}

// closedAnswer is the answer to a request that closes the window.
type closedAnswer struct {
	Window string `json:"window"`
}

// missing implements answer.
func (a *closedAnswer) missing() string {
	if a.Window == "" {
		return "window"
	}
	return ""
}

// record opens a window, waits for its time to pass or for ctx, and closes it.
// It returns the window's id.
func (t *tool) record(ctx context.Context, c *adminClient, seconds int, ignoreGuard bool) (string, error) {
	var opened openedAnswer
	query := url.Values{"seconds": {strconv.Itoa(seconds)}}
	if ignoreGuard {
		query.Set("guard", record.GuardOff)
	}
	if err := c.do(ctx, http.MethodPost, adminWindow, query, nil, &opened); err != nil {
		return "", err
	}
	if ignoreGuard && opened.Guard != record.GuardOff {
		fmt.Fprintf(t.stderr, "tcpcopyctl: the recorder on %s is older than --ignore-guard: its guard may pause the window\n", c.base.Host)
	}
	if opened.Paused != "" {
		fmt.Fprintf(t.stderr, "tcpcopyctl: nothing is recorded at first: %s\n", printable(opened.Paused))
	}
	began := time.Now()
	whole := time.Duration(seconds) * time.Second
	p := startProgress(ctx, t.stderr, func() string { return bar("recording", int64(time.Since(began)), int64(whole)) })
	timer := time.NewTimer(whole)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	p.end()
	// The window ends by itself; closing it waits until its index line is written.
	// After Ctrl-C the request must still be sent.
	var closed closedAnswer
	err := c.do(context.WithoutCancel(ctx), http.MethodDelete, adminWindow, nil, nil, &closed)
	var refused *refusedError
	if errors.As(err, &refused) && (refused.status == http.StatusNotFound || refused.status == http.StatusConflict) {
		err = nil // it has closed in the meantime
	}
	return opened.Window, err
}

// outputAnswer is the part of the status that says where the records are.
type outputAnswer struct {
	Output struct {
		Dir string `json:"dir"`
	} `json:"output"`
}

// missing implements answer.
func (a *outputAnswer) missing() string {
	if a.Output.Dir == "" {
		return "output.dir"
	}
	return ""
}

// How long record waits for the index line of a window that has closed by itself.
const (
	lineTries = 50
	lineWait  = 100 * time.Millisecond
)

// printRecorded lists the window as the index has it, if the recorder's
// directory can be read from here.
func (t *tool) printRecorded(cmd *cobra.Command, o *output, c *adminClient, id string) error {
	ctx := context.WithoutCancel(cmd.Context())
	var s outputAnswer
	if err := c.do(ctx, http.MethodGet, adminStatus, nil, nil, &s); err != nil {
		return err
	}
	q := t.query(ctx, []string{s.Output.Dir})
	q.Options.Filter.Window = id
	for range lineTries {
		var windows []reading.Window
		err := q.Indexed(func(w reading.Window) error {
			windows = append(windows, w)
			return nil
		})
		if err == nil && len(windows) > 0 {
			return t.printWindows(cmd, o, eachOf(windows), nil)
		}
		timer := time.NewTimer(lineWait)
		<-timer.C
	}
	fmt.Fprintf(t.stderr, "tcpcopyctl: recorded window %s on %s; its index in %s cannot be read from here\n", printable(id), c.base.Host, printable(s.Output.Dir))
	return nil
}
