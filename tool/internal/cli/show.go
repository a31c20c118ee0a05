package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

func (t *tool) showCommand() *cobra.Command {
	var stream string
	var raw, hex, text, follow bool
	cmd := &cobra.Command{
		Use:   "show [CALL|CONN] [DIR]",
		Short: "Show one call, one connection, or all that was recorded",
		Long: `show prints the records of a dump in order of time, one a line. With the name
of a call, <connection>#<number> as calls prints it, show prints the call:
header fields, the decoded body, messages of gRPC (as JSON with --proto or
--protoset, else as a tree of fields). With the identity of a connection, or
the first characters of it, show prints what its two sides said: the client's
lines after ">", the proxy's after "<", gaps in their places. Payload is
escaped, so that it does no harm to a terminal; --raw writes it as it is.`,
		Example: `  tcpcopyctl show --since 10m
  tcpcopyctl show k3v9qa-17#3                 one call
  tcpcopyctl show k3v9qa-17#3 --body | jq     the body of its answer
  tcpcopyctl show k3v9qa-17#3 --curl          a command that sends it again
  tcpcopyctl show k3v9qa-17                   a whole connection
  tcpcopyctl show k3v9qa-17 --hex
  tcpcopyctl show k3v9qa-17 --direction in --raw > requests.bin
  tcpcopyctl show -o json | jq -r 'select(.kind == "data") | .data' | base64 -d
  tcpcopyctl show -f --port 8080              what is recorded now, as it comes`,
		Args: atMost(2),
	}
	r := t.readFlags(cmd)
	r.streams = true
	o := t.addOutput(cmd)
	f := cmd.Flags()
	c := addCallFlags(cmd)
	f.StringVar(&stream, "follow-stream", "", "the same as \"show CONN\": what this `connection` said")
	complete(cmd, "follow-stream", r.fromDump(connsBeginning))
	cmd.ValidArgsFunction = r.completeTarget
	f.BoolVar(&raw, "raw", false, "write the payload bytes alone")
	f.BoolVar(&hex, "hex", false, "show payload as a hex dump")
	f.BoolVar(&text, "text", false, "show payload as text, in full")
	f.BoolVarP(&follow, "follow", "f", false, "go on with what is written, also when the files are rotated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		g, err := targetOf(args)
		if err != nil {
			return misused(cmd, "%w", err)
		}
		what := "the connection"
		if stream != "" {
			if g.conn != "" {
				return misused(cmd, "the connection is %q and --follow-stream is %q: give one of them", g.named(), stream)
			}
			g.conn, what = stream, "--follow-stream"
		}
		if g.conn != "" {
			if len(r.conns) > 0 && !slices.Equal(r.conns, []string{g.conn}) {
				return misused(cmd, "--conn is %q and %s is %q: give one of them", strings.Join(r.conns, ","), what, g.named())
			}
			r.conns = nil
		}
		q, err := r.query(cmd, g.dir)
		if err != nil {
			return err
		}
		if g.conn != "" {
			q.Conns = []string{g.conn}
			err := t.resolveConns(cmd, q, what)
			if maybeDir := stream == "" && !reading.IsIdentity(g.conn); err != nil && maybeDir && isUnread(err) {
				return fmt.Errorf("%q is no directory that is there, and to find a connection that begins so: %w", g.conn, err)
			} else if err != nil {
				return err
			}
		}
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		if err := c.check(cmd, g.call != ""); err != nil {
			return err
		}
		if g.call != "" {
			return t.showCall(cmd, q, &g, o, c, asJSON)
		}
		if err := exclusive(cmd, "raw", "hex", "text"); err != nil {
			return err
		}
		if asJSON && (raw || hex || text) {
			return misused(cmd, "--output json has its own form of payload: leave --raw, --hex and --text out")
		}
		if follow {
			q.Options.Wait = t.poll(cmd.Context())
		}
		form := formPreview
		switch {
		case hex:
			form = formHex
		case text, g.conn != "":
			form = formText
		}
		found := false
		show, end := t.printer(q, o, asJSON, raw, form, g.conn != "")
		err = q.Each(cmd.Context(), func(r *record.Record) error {
			found = true
			return show(r)
		})
		err = errors.Join(err, end())
		switch {
		case err != nil || found || follow:
			return err
		case len(q.Unknown) > 0 && g.conn != "" && q.Options.Filter == (dump.Filter{}):
			if stream == "" && !reading.IsIdentity(g.conn) {
				return fmt.Errorf("%q is neither a directory nor the beginning of a connection's identity%s", g.conn, askOr(q.Unknown[0].Similar, "conns"))
			}
			return fmt.Errorf("there are no records of connection %q%s", g.conn, askOr(q.Unknown[0].Similar, "conns"))
		}
		t.explainNothing(q, o)
		return nil
	}
	return cmd
}

// completeTarget completes the arguments of show.
func (r *readFlags) completeTarget(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	g, err := targetOf(args)
	if err != nil || len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if g.conn != "" {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	all, directive := r.fromDump(connsBeginning)(cmd, g.dir, word)
	if len(g.dir) == 0 {
		directive = cobra.ShellCompDirectiveDefault // or a directory
	}
	return all, directive
}

// pollEvery is how long show waits between two looks for more in the files.
const pollEvery = 200 * time.Millisecond

// poll returns a Wait function for dump.Options: it shows what there is and waits
// pollEvery.
func (t *tool) poll(ctx context.Context) func() error {
	return func() error {
		if err := t.stdout.Flush(); err != nil {
			return err
		}
		timer := time.NewTimer(pollEvery)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		}
	}
}

// printer returns the function that prints a record in the wanted form, after the gaps
// before it that no record mentions. end is to be called after the last record.
func (t *tool) printer(q *reading.Query, o *output, asJSON, raw bool, form payloadForm, session bool) (show func(*record.Record) error, end func() error) {
	var put func(r *record.Record) error
	end = func() error { return nil }
	switch {
	case asJSON:
		put = newRowWriter(t.stdout).write
	case raw:
		put = t.rawPrinter()
	case session:
		s := newSessionPrinter(t.stdout, o, t.colours(), form)
		put, end = s.write, s.end
	default:
		put = newRecordList(t.stdout, o, t.colours(), form).write
	}
	show, leftOut := q.WithGaps(put)
	endPrinting := end
	return show, func() error {
		leftOut()
		return endPrinting()
	}
}

// rawPrinter writes payload to standard output and says on standard error where
// some is missing.
func (t *tool) rawPrinter() func(*record.Record) error {
	return func(r *record.Record) error {
		switch r.Kind {
		case record.KindData:
			_, err := t.stdout.Write(r.Data)
			return err
		case record.KindGap:
			fmt.Fprintf(t.stderr, "tcpcopyctl: %s: %d bytes are missing at %s offset %d (%s)\n", printable(r.Conn), r.Length, r.Direction, r.Offset, printable(r.Reason))
		}
		return nil
	}
}
