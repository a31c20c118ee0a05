package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// readFlags is the part of a command line that says which records are read.
type readFlags struct {
	t         *tool
	window    string
	conns     []string
	port      string
	peer      string
	since     string
	until     string
	direction string
	format    string

	streams bool // rows are printed while records are read
	running bool // a recorder's stream is read, and no dump
	before  int  // arguments before the one that names the dump
}

// readFlags adds the common filters to a command.
func (t *tool) readFlags(cmd *cobra.Command) *readFlags {
	r := &readFlags{t: t}
	f := cmd.Flags()
	f.StringVar(&r.window, "window", "", "only this window: its `id` or the first characters of it")
	f.StringSliceVar(&r.conns, "conn", nil, "only these connections: `identities` such as k3v9qa-17, or their first characters, with commas between them (repeatable)")
	f.StringVar(&r.port, "port", "", "only this listener: its `port`, or the path of its Unix socket")
	f.StringVar(&r.peer, "peer", "", "only these clients: an `address`, address:port or network (10.0.0.0/8)")
	f.StringVar(&r.since, "since", "", "only from this `time` on: 10:32, 2006-01-02 15:04:05, today, yesterday, or 10m or 1d for so long ago")
	f.StringVar(&r.until, "until", "", "only before this `time`")
	f.StringVar(&r.direction, "direction", "both", "only bytes that went `in` (client to proxy), out, or both")
	f.StringVar(&r.format, "format", "any", "what to read of a directory with several `formats`: any, hex, pcapng")
	t.completeReadFlags(cmd, r)
	return r
}

// query turns the flags and the arguments into a query. It reads the dump for connections
// that are given by the first characters of their identities.
func (r *readFlags) query(cmd *cobra.Command, args []string) (*reading.Query, error) {
	q := r.t.query(cmd.Context(), args)
	o := &q.Options
	o.Filter = dump.Filter{Window: r.window}
	var errs []error
	bad := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s is %w", flag, err))
		}
	}
	var err error
	o.Filter.Port, err = r.portOf(q)
	bad("port", err)
	o.Filter.Peer, o.Filter.PeerPort, err = reading.ParsePeer(r.peer)
	bad("peer", err)
	if o.Filter.Since, o.Filter.Until, err = reading.ParseTimes(r.since, r.until, r.t.now()); err != nil {
		errs = append(errs, err)
	}
	o.Filter.Only, err = reading.ParseDirection(r.direction)
	bad("direction", err)
	o.Format, err = reading.ParseFormat(r.format)
	bad("format", err)
	q.Conns, err = connsOf(r.conns)
	bad("conn", err)
	if err := errors.Join(errs...); err != nil {
		return nil, misused(cmd, "%w", err)
	}
	if !r.running {
		if err := r.t.resolveConns(cmd, q, "--conn"); err != nil {
			return nil, err
		}
	}
	// A bar between rows on the same terminal would tear them.
	if r.streams && isTerminal(r.t.screen) {
		q.Report.Progress = nil
	}
	return q, nil
}

// portOf checks --port. What looks like no port is one where the dump has it.
func (r *readFlags) portOf(q *reading.Query) (string, error) {
	port, err := reading.ParsePort(r.port)
	if err == nil || r.running {
		return port, err
	}
	c, unread := q.Summary()
	switch {
	case unread != nil || len(c.Ports) == 0:
		return "", err
	case slices.Contains(c.Ports, r.port):
		return r.port, nil
	default:
		return "", fmt.Errorf("%w; the dump has %s", err, listed(c.Ports))
	}
}

// connsOf checks the connections of --conn.
func connsOf(texts []string) ([]string, error) {
	var conns []string
	for _, text := range texts {
		text = strings.TrimSpace(text)
		if conn, call, isCall := strings.Cut(text, "#"); isCall {
			return nil, fmt.Errorf("%q, which is call %s of a connection, valid: %s; a call is shown with \"tcpcopyctl show %s\"", text, call, conn, text)
		}
		if text == "" {
			return nil, fmt.Errorf("%q, valid: identities such as k3v9qa-17, or their first characters; \"tcpcopyctl conns\" lists them", text)
		}
		conns = append(conns, text)
	}
	return conns, nil
}

// resolveConns makes whole identities of the connections that a query wants, which what has
// named.
func (t *tool) resolveConns(cmd *cobra.Command, q *reading.Query, what string) error {
	err := q.ResolveConns(cmd.Context())
	var ambiguous *reading.AmbiguousError
	if errors.As(err, &ambiguous) {
		return misused(cmd, "%s is %w", what, err)
	}
	if err != nil || len(q.Unknown) == len(q.Conns) {
		return err // a query that finds nothing explains itself
	}
	for _, u := range q.Unknown {
		fmt.Fprintln(t.stderr, "tcpcopyctl:", printable(unknownConn(q, &u)))
	}
	return nil
}

// unknownConn returns the sentence about a connection that is not there.
func unknownConn(q *reading.Query, u *reading.UnknownConn) string {
	among := ""
	if q.Options.Filter != (dump.Filter{}) {
		among = "of what the other filters want, "
	}
	return fmt.Sprintf(among+"no connection's identity is or begins with %q%s", u.Text, askOr(u.Similar, "conns"))
}

// query returns a query for all records of what the arguments name. It reports to
// standard error, and ends a bar that it draws there with ctx.
func (t *tool) query(ctx context.Context, args []string) *reading.Query {
	q := &reading.Query{
		IsDir:   t.isDir,
		Options: dump.Options{Stdin: t.stdin},
		Report: reading.Report{
			Damage: t.damage.add,
			Remark: t.damage.remark,
			Legacy: func() {
				fmt.Fprintln(t.stderr, `tcpcopyctl: these are hex lines without connections: all that a port received is shown as one stream, "all-<port>"`)
			},
			Progress: func(measure func() (done, total int64)) (end func()) {
				return startProgress(ctx, t.stderr, func() string {
					done, total := measure()
					return bar("reading", done, total)
				}).end
			},
		},
	}
	if len(args) > 0 {
		q.Path = args[0]
	} else {
		q.Defaults = reading.DefaultDirs(t.getenv("HOME"))
	}
	return q
}
