package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/tool/internal/reading"
)

func (t *tool) exportCommand() *cobra.Command {
	var path, form string
	cmd := &cobra.Command{
		Use:   "export [DIR] -o FILE",
		Short: "Write records or calls to one file, for other programs",
		Long: `export writes what a dump has to one file: its records as pcapng, which
Wireshark and tcpdump open, or as JSON lines; or its calls as HAR, which
browsers open, or as JSON lines. The name of the file says which, or --as.
Records of hex_meta logs become packets too: with the real addresses, and
headers that are made up for the purpose.

With --where, records are those of the connections of the calls that meet the
condition, and calls are those calls. HAR has the calls of HTTP, gRPC and
WebSocket, in the order in which they began.

Where Wireshark would not recognise by itself what a port's connections speak,
export prints the options with which tshark does, "Decode As" in Wireshark's
window.`,
		Example: `  tcpcopyctl export -o out.pcapng
  tcpcopyctl export --where failed -o failed.pcapng
  tcpcopyctl export --since 10m -o out.har
  tcpcopyctl export --as calls --where 'latency > 1s' -o slow.jsonl
  tcpcopyctl export --conn k3v9qa-17 -o - | tshark -r - -z follow,tcp,ascii,0
  tcpcopyctl export -o records.jsonl`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	d := addDecodeFlags(cmd)
	where := t.addWhereFlag(cmd)
	cmd.Flags().StringVarP(&path, "output", "o", "", "the `file` to write, - for standard output")
	cmd.Flags().StringVar(&form, "as", "", "`form` of the file: "+formNames()+" (by default as its name ends, or pcapng)")
	complete(cmd, "as", oneOf(strings.Split(formNames(), ", ")...))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := r.query(cmd, args)
		if err != nil {
			return err
		}
		if path == "" {
			return misused(cmd, "--output is not set, valid: a file, or - for standard output")
		}
		chosen, err := chooseForm(form, path)
		if err != nil {
			return misused(cmd, "%w", err)
		}
		options, err := d.options(cmd)
		if err != nil {
			return err
		}
		if err := where.check(cmd); err != nil {
			return err
		}
		if len(d.protocols) > 0 && where.expr == "" && !chosen.calls {
			return misused(cmd, "--protocol says how calls are decoded, and %s has records: add --where, or leave it out", chosen.name)
		}
		e := &exporting{t: t, cmd: cmd, q: q, form: chosen, where: where, options: options}
		if path == "-" {
			if chosen.name == "pcapng" && isTerminal(t.screen) {
				return misused(cmd, "a capture is not for a terminal: redirect the output, or set --output to a file")
			}
			return e.write(cmd.Context(), t.stdout)
		}
		if from, err := q.Locate(); err == nil && from != "-" && isPartOf(path, from) {
			return misused(cmd, "--output is %s, which is a part of the dump that is read", path)
		}
		return writeWhole(cmd.Context(), "export", path, func(w io.Writer) error { return e.write(cmd.Context(), w) })
	}
	return cmd
}

// isPartOf reports whether the existing file at path is what is read at from, or
// in it.
func isPartOf(path, from string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(from)
	if err != nil {
		return false
	}
	if !b.IsDir() {
		return os.SameFile(a, b)
	}
	dir, err := os.Stat(filepath.Dir(path))
	return err == nil && os.SameFile(dir, b)
}

// exporting is one run of export.
type exporting struct {
	t       *tool
	cmd     *cobra.Command
	q       *reading.Query
	form    *exportForm
	where   *whereFlag
	options calls.Options
}

// write writes what is wanted to w. Where that is nothing, it says why.
func (e *exporting) write(ctx context.Context, w io.Writer) error {
	n, err := e.form.write(ctx, e, w)
	if err == nil && n == 0 {
		e.t.explainNothing(e.q, &output{t: e.t})
	}
	return err
}

// calls calls each with the calls that are wanted, and with their content where needs ask
// for it. It says on standard error what could not be known.
func (e *exporting) calls(ctx context.Context, q *reading.Query, needs query.Needs, each func(*query.Call, *calls.Call) error) error {
	options := e.options
	f, end, err := e.where.calls(e.cmd, &options, needs, each)
	if err != nil {
		return err
	}
	c, err := q.Calls(ctx, options, f)
	if err := errors.Join(err, end()); err != nil {
		return err
	}
	e.t.explain(&c, false, `"tcpcopyctl calls --coverage"`)
	return nil
}

// matching returns the connections of the calls that are wanted. It reads the dump once
// more, and leaves damage to be reported by who reads it then. It holds no calls.
func (e *exporting) matching(ctx context.Context) (*connSet, error) {
	again := *e.q
	again.Report = reading.Report{Progress: e.q.Report.Progress}
	again.Options.Filter.Only = nil // a call has two directions
	matched := &connSet{}
	err := e.calls(ctx, &again, 0, func(_ *query.Call, c *calls.Call) error {
		matched.add(c.Conn)
		return nil
	})
	return matched, err
}

// keepInput copies standard input to a temporary file, which the query reads from then on,
// so that it can be read twice. remove removes the file.
func (e *exporting) keepInput(ctx context.Context) (remove func(), err error) {
	if path, err := e.q.Locate(); err != nil || path != "-" {
		return func() {}, err
	}
	f, err := os.CreateTemp("", "tcpcopyctl-input-")
	if err != nil {
		return nil, err
	}
	remove = func() { _ = os.Remove(f.Name()) } // whoever may read it may read the dump
	_, err = io.Copy(f, &contextReader{ctx, e.q.Options.Stdin})
	if err := errors.Join(err, f.Close()); err != nil {
		remove()
		return nil, err
	}
	e.q.Path, e.q.Defaults = f.Name(), nil
	return remove, nil
}

// contextReader is a reader that ends with a context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
