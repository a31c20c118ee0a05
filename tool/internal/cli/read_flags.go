package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/tool/internal/query"
)

// readFlags is the part of a command line that says which records are read.
type readFlags struct {
	t         *tool
	window    string
	conn      string
	port      string
	peer      string
	since     string
	until     string
	direction string
	format    string

	streams bool // rows are printed while records are read
}

// readFlags adds the common filters to a command.
func (t *tool) readFlags(cmd *cobra.Command) *readFlags {
	r := &readFlags{t: t}
	f := cmd.Flags()
	f.StringVar(&r.window, "window", "", "only this window: its `id` or the first characters of it")
	f.StringVar(&r.conn, "conn", "", "only this connection: its `identity`, such as k3v9qa-17")
	f.StringVar(&r.port, "port", "", "only this listener: its `port`, or the path of its Unix socket")
	f.StringVar(&r.peer, "peer", "", "only these clients: an `address`, address:port or network (10.0.0.0/8)")
	f.StringVar(&r.since, "since", "", "only from this `time` on (2006-01-02 15:04:05, or 10m for ten minutes ago)")
	f.StringVar(&r.until, "until", "", "only before this `time`")
	f.StringVar(&r.direction, "direction", "both", "only bytes that went `in` (client to proxy), out, or both")
	f.StringVar(&r.format, "format", "any", "what to read of a directory with several `formats`: any, hex, pcapng")
	return r
}

// query turns the flags and the arguments into a query.
func (r *readFlags) query(cmd *cobra.Command, args []string) (*query.Query, error) {
	q := r.t.query(cmd.Context(), args)
	o := &q.Options
	o.Filter = dump.Filter{Window: r.window, Conn: r.conn, Port: r.port}
	var errs []error
	bad := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s is %w", flag, err))
		}
	}
	var err error
	o.Filter.Peer, o.Filter.PeerPort, err = query.ParsePeer(r.peer)
	bad("peer", err)
	if r.since != "" {
		o.Filter.Since, err = query.ParseTime(r.since, r.t.now())
		bad("since", err)
	}
	if r.until != "" {
		o.Filter.Until, err = query.ParseTime(r.until, r.t.now())
		bad("until", err)
	}
	o.Filter.Only, err = query.ParseDirection(r.direction)
	bad("direction", err)
	o.Format, err = query.ParseFormat(r.format)
	bad("format", err)
	if err := errors.Join(errs...); err != nil {
		return nil, misused(cmd, "%w", err)
	}
	// A bar between rows on the same terminal would tear them.
	if r.streams && isTerminal(r.t.screen) {
		q.Report.Progress = nil
	}
	return q, nil
}

// query returns a query for all records of what the arguments name. It reports to
// standard error, and ends a bar that it draws there with ctx.
func (t *tool) query(ctx context.Context, args []string) *query.Query {
	q := &query.Query{
		IsDir:   t.isDir,
		Options: dump.Options{Stdin: t.stdin},
		Report: query.Report{
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
		q.Defaults = query.DefaultDirs(t.getenv("HOME"))
	}
	return q
}
