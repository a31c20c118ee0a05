package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/query"
)

// exportForm is a form of the files that export writes.
type exportForm struct {
	name  string
	alias string   // another name of it, or empty
	means []string // the ends of file names that mean this form
	fits  []string // those that mean another form and fit this one too

	// write writes what q wants to w and returns how many records or calls these are. It is
	// nil for a form that this build does not have.
	write func(t *tool, ctx context.Context, q *query.Query, w io.Writer) (n int, err error)
}

// exportForms are the forms, the default one first. A new form is a line here.
func exportForms() []exportForm {
	return []exportForm{
		{name: "pcapng", means: []string{".pcapng"}, fits: []string{".pcap"}, write: exportPcapng},
		{name: "jsonl", alias: "json", means: []string{".jsonl", ".ndjson", ".json"}, write: exportJSON},
		{name: "har", means: []string{".har"}, fits: []string{".json"}},
		{name: "calls", fits: []string{".jsonl", ".ndjson", ".json"}},
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
	if forms[chosen].write == nil {
		return nil, fmt.Errorf("--output is %q, of the form %s, which this build does not write", path, forms[chosen].name)
	}
	return &forms[chosen], nil
}

// counted returns f, which counts its calls in n.
func counted(n *int, f func(*record.Record) error) func(*record.Record) error {
	return func(r *record.Record) error {
		*n++
		return f(r)
	}
}

// exportJSON writes records as JSON lines.
func exportJSON(_ *tool, ctx context.Context, q *query.Query, w io.Writer) (n int, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	if err := q.Each(ctx, counted(&n, newRowWriter(out).write)); err != nil {
		return n, err
	}
	return n, out.Flush()
}

// exportPcapng writes records as packets. Where Wireshark would not recognise what is in
// them, it writes the options with which it does to the standard error.
func exportPcapng(t *tool, ctx context.Context, q *query.Query, w io.Writer) (n int, err error) {
	e := dump.NewExporter(w, "tcpcopyctl")
	if err := q.Each(ctx, counted(&n, e.Write)); err != nil {
		return n, err
	}
	if err := e.Flush(); err != nil {
		return n, err
	}
	if options := e.DecodeAs(); len(options) > 0 {
		fmt.Fprintln(t.stderr, "tcpcopyctl: Wireshark decodes it with \"Decode As\", tshark with: -d", strings.Join(options, " -d "))
	}
	return n, nil
}
