package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/query"
)

func (t *tool) showCommand() *cobra.Command {
	var stream string
	var raw, hex, text, follow bool
	cmd := &cobra.Command{
		Use:   "show [DIR]",
		Short: "Show what was recorded, or follow one conversation",
		Long: `show prints the records of a dump in order of time, one a line. With
--follow-stream it prints one connection as a conversation: what the client sent
after ">", what the proxy answered after "<", gaps in their places. Payload is
escaped, so that it does no harm to a terminal; --raw writes it as it is.`,
		Example: `  tcpcopyctl show --since 10m
  tcpcopyctl show --follow-stream k3v9qa-17
  tcpcopyctl show --follow-stream k3v9qa-17 --hex
  tcpcopyctl show --conn k3v9qa-17 --direction in --raw > requests.bin
  tcpcopyctl show -o json | jq -r 'select(.kind == "data") | .data' | base64 -d
  tcpcopyctl show -f --port 8080              what is recorded now, as it comes`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	r.streams = true
	o := t.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&stream, "follow-stream", "", "show the conversation of this `connection`")
	f.BoolVar(&raw, "raw", false, "write the payload bytes alone")
	f.BoolVar(&hex, "hex", false, "show payload as a hex dump")
	f.BoolVar(&text, "text", false, "show payload as text, in full")
	f.BoolVarP(&follow, "follow", "f", false, "go on with what is written, also when the files are rolled")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if stream != "" {
			if r.conn != "" && r.conn != stream {
				return misused(cmd, "--conn is %q and --follow-stream is %q: give one of them", r.conn, stream)
			}
			r.conn = stream
		}
		q, err := r.query(cmd, args)
		if err != nil {
			return err
		}
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
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
		case text, stream != "":
			form = formText
		}
		found := false
		show, end := t.printer(q, o, asJSON, raw, form, stream != "")
		err = q.Each(cmd.Context(), func(r *record.Record) error {
			found = true
			return show(r)
		})
		err = errors.Join(err, end())
		if err == nil && stream != "" && !found {
			return fmt.Errorf("there are no records of connection %q", stream)
		}
		return err
	}
	return cmd
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
func (t *tool) printer(q *query.Query, o *output, asJSON, raw bool, form payloadForm, session bool) (show func(*record.Record) error, end func() error) {
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
