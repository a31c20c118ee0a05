package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// The longest times that a capture may ask for, and the longest reason in bytes.
const (
	maxBefore = 24 * time.Hour
	maxReason = 512
)

// captureFlags is the part of a command line that says what a capture is to be. What is not
// given is the recorder's choice.
type captureFlags struct {
	before, after                 time.Duration
	scope, conn, listener, reason string
}

func (t *tool) captureCommand() *cobra.Command {
	var f captureFlags
	cmd := &cobra.Command{
		Use:   "capture",
		Short: "Write what passed just now, from the flight recorder",
		Long: `capture writes what the flight recorder of a running proxy has in memory, and
what passes next, as a window. It waits until that is written, and lists it as
"windows" does. Ctrl-C ends the waiting; the capture goes on.

Without flags it is about all connections, and reaches as far back and ahead as
the flight block of the proxy says. --before may exceed that: the capture then
begins with what the memory still has. --conn alone is about that connection;
with --scope listener it is about all connections of that connection's
listener.`,
		Example: `  tcpcopyctl capture
  tcpcopyctl capture --before 2m --after 10s --reason "ticket 4711"
  tcpcopyctl capture --conn k3v9qa-17
  tcpcopyctl capture -o json | jq .opened`,
		Args: atMost(0),
	}
	a := t.adminFlags(cmd)
	o := t.addOutput(cmd)
	cmd.Flags().DurationVar(&f.before, "before", 0, "how `long` it reaches back, up to 24h")
	cmd.Flags().DurationVar(&f.after, "after", 0, "how `long` it goes on, up to 24h")
	cmd.Flags().StringVar(&f.scope, "scope", "", "whose traffic, a `scope`: connection, listener or process")
	cmd.Flags().StringVar(&f.conn, "conn", "", "the `connection`")
	cmd.Flags().StringVar(&f.listener, "listener", "", "the `name` of the listener, for --scope listener")
	cmd.Flags().StringVar(&f.reason, "reason", "", "a `text` for the index")
	complete(cmd, "scope", oneOf(captureScopes()...))
	complete(cmd, "before", oneOf("30s", "1m", "5m"))
	complete(cmd, "after", oneOf("0s", "5s", "30s"))
	complete(cmd, "listener", t.listenersOf(a))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := o.json(cmd); err != nil {
			return err
		}
		query, err := f.query(cmd)
		if err != nil {
			return err
		}
		c, err := a.client(cmd)
		if err != nil {
			return err
		}
		id, written, err := t.capture(cmd, c, o, query)
		if err != nil || !written {
			return err
		}
		return t.printRecorded(cmd, o, c, id)
	}
	return cmd
}

func captureScopes() []string {
	return []string{"connection\tone connection", "listener\tall connections of a listener", "process\tall connections"}
}

// query returns the parameters of the request.
func (f *captureFlags) query(cmd *cobra.Command) (url.Values, error) {
	query := url.Values{}
	changed := cmd.Flags().Changed
	for name, d := range map[string]time.Duration{"before": f.before, "after": f.after} {
		switch {
		case d < 0 || d > maxBefore:
			return nil, misused(cmd, "--%s is %v, valid: 0s to 24h", name, d)
		case changed(name):
			query.Set(name, d.String())
		}
	}
	switch f.scope {
	case "connection", "listener", "process":
	default:
		if changed("scope") {
			return nil, misused(cmd, "--scope is %q, valid: connection, listener, process", f.scope)
		}
	}
	switch {
	case len(f.reason) > maxReason:
		return nil, misused(cmd, "--reason has %d bytes, valid: at most %d", len(f.reason), maxReason)
	case f.scope == "connection" && f.conn == "":
		return nil, misused(cmd, "--scope connection needs --conn")
	case f.scope == "listener" && f.conn == "" && f.listener == "":
		return nil, misused(cmd, "--scope listener needs --listener, or a connection of it with --conn")
	case f.listener != "" && changed("scope") && f.scope != "listener":
		return nil, misused(cmd, "--listener is for --scope listener, not %q", f.scope)
	}
	for name, text := range map[string]string{"scope": f.scope, "conn": f.conn, "listener": f.listener, "reason": f.reason} {
		if text != "" {
			query.Set(name, text)
		}
	}
	return query, nil
}

// capturedAnswer is the answer to a request for a capture.
type capturedAnswer struct {
	Window string    `json:"window"`
	Opened time.Time `json:"opened"`
	Closes time.Time `json:"closes"`
	Paused string    `json:"paused"` // why nothing is written at first
}

// missing implements answer.
func (a *capturedAnswer) missing() string {
	switch {
	case a.Window == "":
		return "window"
	case a.Opened.IsZero():
		return "opened"
	case a.Closes.IsZero():
		return "closes"
	}
	return ""
}

// capture opens a capture and waits until it is written, or for the command's context. It
// returns the window's id, and whether it is written.
func (t *tool) capture(cmd *cobra.Command, c *adminClient, o *output, query url.Values) (id string, written bool, err error) {
	ctx := cmd.Context()
	var captured capturedAnswer
	if err := c.do(ctx, http.MethodPost, adminCapture, query, nil, &captured); err != nil {
		return "", false, err
	}
	began := t.now()
	fmt.Fprintf(t.stderr, "tcpcopyctl: capturing window %s, from %s to %s\n", o.window(captured.Window), o.moment(captured.Opened), o.moment(captured.Closes))
	if captured.Paused != "" {
		fmt.Fprintf(t.stderr, "tcpcopyctl: nothing is written at first: %s\n", printable(captured.Paused))
	}
	p := startProgress(ctx, t.stderr, func() string {
		return bar("capturing", int64(t.now().Sub(began)), int64(captured.Closes.Sub(began)))
	})
	written, err = c.awaitCapture(ctx, captured.Window)
	p.end()
	if err == nil && !written {
		fmt.Fprintf(t.stderr, "tcpcopyctl: the capture goes on; \"tcpcopyctl windows --window %s\" lists it when it is written\n", o.window(captured.Window))
	}
	return captured.Window, written, err
}

// captureLooks is the wait between two looks at a capture.
const captureLooks = 300 * time.Millisecond

// awaitCapture returns true when a capture is written, false when ctx ends before. It asks, because the
// clocks may differ, and because triggers that fall into a capture make it longer.
func (c *adminClient) awaitCapture(ctx context.Context, id string) (written bool, err error) {
	ticker := time.NewTicker(captureLooks)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false, nil
		}
		s, _, err := c.status(ctx)
		switch {
		case ctx.Err() != nil: // the next round returns
		case err != nil:
			return false, err
		case s.openWindow(id) == nil:
			return true, nil
		}
	}
}

// listenersOf completes the name of a listener of the recorder.
func (t *tool) listenersOf(a *adminFlags) completer {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		c, err := a.client(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, _, err := c.status(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, name := range s.Output.Listeners {
			if plainWord.MatchString(name) {
				names = append(names, name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
