package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

func (t *tool) liveCommand() *cobra.Command {
	var path string
	var raw, hex, text, asCalls, records, ignoreGuard bool
	cmd := &cobra.Command{
		Use:   "live",
		Short: "Watch what is recorded, as it comes",
		Long: `live shows what a running recorder records from now on: as "show" does, with
--calls as "calls" does, or with -w as pcapng, for Wireshark. It waits for windows:
see "on". With --record it opens a window of its own at once, which only live has:
no file, and it ends with live. When live cannot keep up it loses records, not the
proxy. Windows that do not open, and the guard's pauses, are lines on standard
error. Ctrl-C ends it; calls that have not ended are printed then.`,
		Example: `  tcpcopyctl live
  tcpcopyctl live --record --calls
  tcpcopyctl live --calls --where 'failed or latency > 200ms'
  tcpcopyctl live -w - | wireshark -k -i -
  tcpcopyctl live --port 8080 --direction in --text`,
		Args: atMost(0),
	}
	a := t.adminFlags(cmd)
	r := t.readFlags(cmd)
	r.running = true
	o := t.addOutput(cmd)
	f := cmd.Flags()
	f.BoolVar(&records, "record", false, "record now, for live alone, until it ends")
	f.BoolVar(&ignoreGuard, "ignore-guard", false, "with --record, record whatever the use of CPU and memory is")
	f.BoolVar(&asCalls, "calls", false, "show calls, each as soon as it has ended")
	where := t.addWhereFlag(cmd)
	d := addDecodeFlags(cmd)
	f.StringVarP(&path, "write", "w", "", "write pcapng to this `file`, - for standard output")
	f.BoolVar(&raw, "raw", false, "write the payload bytes alone")
	f.BoolVar(&hex, "hex", false, "show payload as a hex dump")
	f.BoolVar(&text, "text", false, "show payload as text, in full")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t.stderr = &lockedWriter{w: t.stderr} // two goroutines write to it
		q, err := r.query(cmd, nil)
		if err != nil {
			return err
		}
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		if err := exclusive(cmd, "raw", "hex", "text", "write", "calls"); err != nil {
			return err
		}
		if !asCalls && (where.expr != "" || len(d.protocols) > 0) {
			return misused(cmd, "--where and --protocol are about calls: add --calls")
		}
		if ignoreGuard && !records {
			return misused(cmd, "--ignore-guard is about a window of live's own: add --record")
		}
		options, err := d.options(cmd)
		if err != nil {
			return err
		}
		if err := where.check(cmd); err != nil {
			return err
		}
		if path == "-" && isTerminal(t.screen) {
			return misused(cmd, "a capture is not for a terminal: redirect the output, or set --write to a file")
		}
		c, err := a.client(cmd)
		if err != nil {
			return err
		}
		opened, window, err := c.openStream(cmd.Context(), streamQuery(records, ignoreGuard))
		if err != nil {
			if cmd.Context().Err() != nil {
				return nil // Ctrl-C is how it ends
			}
			return err
		}
		defer opened.Close()
		switch {
		case records && window == "":
			fmt.Fprintf(t.stderr, "tcpcopyctl: the recorder on %s is older than --record: live waits for its windows\n", c.base.Host)
		case records:
			fmt.Fprintf(t.stderr, "tcpcopyctl: window %s is open for live alone; waiting for traffic\n", printable(o.window(window)))
		}
		stream := &liveStream{r: opened}
		q.Report.Damage = stream.damage(q.Report.Damage)
		watched, stop := context.WithCancel(cmd.Context())
		ended := make(chan struct{})
		go func() { // ends with the stream
			defer close(ended)
			t.watchWindows(cmd.Context(), watched, c, liveNews{t: t, output: o, own: window})
		}()
		defer func() {
			stop()
			<-ended
		}()
		form := formPreview
		switch {
		case hex:
			form = formHex
		case text:
			form = formText
		}
		switch {
		case asCalls:
			err = t.showCalls(cmd, stream, q, options, where, o.newCallRows(asJSON))
		case path == "":
			show, end := t.printer(q, o, asJSON, raw, form, false)
			err = errors.Join(t.show(cmd.Context(), stream, q, show), end())
		default:
			err = t.save(cmd.Context(), stream, q, path)
		}
		if cmd.Context().Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		if err == nil {
			if err := t.stdout.Flush(); err != nil {
				return err
			}
			fmt.Fprintln(t.stderr, "tcpcopyctl:", stream.farewell())
		}
		return err
	}
	return cmd
}

// streamQuery returns the parameters of the request for a stream.
func streamQuery(records, ignoreGuard bool) url.Values {
	query := url.Values{}
	if records {
		query.Set("record", string(record.TriggerLive))
	}
	if ignoreGuard {
		query.Set("guard", record.GuardOff)
	}
	return query
}

// show prints the records of a stream, each as soon as it is there.
func (t *tool) show(ctx context.Context, stream io.Reader, q *reading.Query, put func(*record.Record) error) error {
	return q.EachOf(ctx, &flushingReader{stream, t.stdout.Flush}, put)
}

// showCalls prints the calls of a stream, each as soon as it has ended, and at the end of the
// stream those that have not.
func (t *tool) showCalls(cmd *cobra.Command, stream io.Reader, q *reading.Query, options calls.Options, where *whereFlag, rows *callRows) error {
	options.EndAtClose = true
	each, end, err := where.calls(cmd, &options, 0, rows.add)
	if err != nil {
		return err
	}
	flush := func() error { return errors.Join(flushCalls(rows), t.stdout.Flush()) }
	c, err := q.CallsOf(cmd.Context(), &flushingReader{stream, flush}, options, each)
	if err := errors.Join(err, rows.end(), end()); err != nil {
		return err
	}
	t.explain(&c, false, "")
	return nil
}

// save writes a stream to a file: as it comes, or the records that are wanted.
func (t *tool) save(ctx context.Context, stream io.Reader, q *reading.Query, path string) (err error) {
	w := t.screen
	if path != "-" {
		f, openErr := openPrivate(ctx, path)
		if openErr != nil {
			return fmt.Errorf("write stream: %w", openErr)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
	}
	if q.SelectsAll() {
		_, err := io.Copy(w, stream)
		return err
	}
	e := dump.NewExporter(w, "tcpcopyctl")
	return errors.Join(q.EachOf(ctx, &flushingReader{stream, e.Flush}, e.Write), e.Flush())
}

// flushingReader writes out what has been printed before it waits for more to read.
type flushingReader struct {
	r     io.Reader
	flush func() error
}

func (f *flushingReader) Read(p []byte) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.r.Read(p)
}
