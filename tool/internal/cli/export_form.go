package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/pkg/record"
)

// exportForm is a form of the files that export writes.
type exportForm struct {
	name  string
	alias string   // another name of it, or empty
	means []string // the ends of file names that mean this form
	fits  []string // those that mean another form and fit this one too

	calls bool // it has calls; the others have records

	// write writes what is wanted to w and returns how many records or calls these are.
	write func(ctx context.Context, e *exporting, w io.Writer) (n int, err error)
}

// exportForms are the forms, the default one first. A new form is a line here.
func exportForms() []exportForm {
	return []exportForm{
		{name: "pcapng", means: []string{".pcapng"}, fits: []string{".pcap"}, write: exportPcapng},
		{name: "jsonl", alias: "json", means: []string{".jsonl", ".ndjson", ".json"}, write: exportJSON},
		{name: "har", means: []string{".har"}, fits: []string{".json"}, calls: true, write: exportHAR},
		{name: "calls", fits: []string{".jsonl", ".ndjson", ".json"}, calls: true, write: exportCalls},
	}
}

// formNames returns the names of the forms.
func formNames() string {
	var names []string
	for _, f := range exportForms() {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// chooseForm returns the form that --as names for a file. Where it names none, the end of
// the file's name decides. A name that means another form is an error.
func chooseForm(as, path string) (*exportForm, error) {
	forms := exportForms()
	end := strings.ToLower(filepath.Ext(path))
	means := slices.IndexFunc(forms, func(f exportForm) bool { return slices.Contains(f.means, end) })
	chosen := 0
	switch {
	case as != "":
		chosen = slices.IndexFunc(forms, func(f exportForm) bool { return as == f.name || as == f.alias })
		if chosen < 0 {
			return nil, fmt.Errorf("--as is %q, valid: %s", as, formNames())
		}
		if means >= 0 && means != chosen && !slices.Contains(forms[chosen].fits, end) {
			return nil, fmt.Errorf("--as is %q and --output is %q, which means %s: leave --as out, or name the file otherwise", as, path, forms[means].name)
		}
	case means >= 0:
		chosen = means
	}
	return &forms[chosen], nil
}

// records calls f with the records that are wanted and returns how many they are: all, or
// those of the connections of the calls that meet a condition.
func (e *exporting) records(ctx context.Context, f func(*record.Record) error) (n int, err error) {
	wants := func(string) bool { return true }
	if e.where.expr != "" {
		remove, err := e.keepInput(ctx)
		if err != nil {
			return 0, fmt.Errorf("read standard input: %w", err)
		}
		defer remove()
		matched, err := e.matching(ctx)
		if err != nil {
			return 0, err
		}
		wants = matched.has
	}
	err = e.q.Each(ctx, func(r *record.Record) error {
		if !wants(r.Conn) {
			return nil
		}
		n++
		return f(r)
	})
	return n, err
}

// exportJSON writes records as JSON lines.
func exportJSON(ctx context.Context, e *exporting, w io.Writer) (n int, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	if n, err = e.records(ctx, newRowWriter(out).write); err != nil {
		return n, err
	}
	return n, out.Flush()
}

// exportPcapng writes records as packets. Where Wireshark would not recognise what is in
// them, it writes the options with which it does to the standard error.
func exportPcapng(ctx context.Context, e *exporting, w io.Writer) (n int, err error) {
	x := dump.NewExporter(w, "tcpcopyctl")
	if n, err = e.records(ctx, x.Write); err != nil {
		return n, err
	}
	if err := x.Flush(); err != nil {
		return n, err
	}
	if options := x.DecodeAs(); len(options) > 0 {
		fmt.Fprintln(e.t.stderr, "tcpcopyctl: Wireshark decodes it with \"Decode As\", tshark with: -d", strings.Join(options, " -d "))
	}
	return n, nil
}

// exportCalls writes calls as JSON lines, in the order in which they ended.
func exportCalls(ctx context.Context, e *exporting, w io.Writer) (n int, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	var line []byte
	err = e.calls(ctx, e.q, 0, func(c *query.Call, _ *calls.Call) error {
		n++
		line = append(query.AppendJSON(line[:0], c), '\n')
		_, err := out.Write(line)
		return err
	})
	if err != nil {
		return n, err
	}
	return n, out.Flush()
}
