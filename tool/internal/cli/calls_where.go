package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/tool/internal/content"
)

// whereFlag is the part of a command line that says which calls are wanted.
type whereFlag struct {
	t          *tool
	expr       string
	incomplete int // calls of which a part was not known, or not decoded where the condition asks for it

	compiled *query.Query // of expr, once check has been called; nil without a condition
}

func (t *tool) addWhereFlag(cmd *cobra.Command) *whereFlag {
	w := &whereFlag{t: t}
	cmd.Flags().StringVar(&w.expr, "where", "", "only calls that meet this `condition`, such as 'failed and latency > 200ms' (see docs/calls.md)")
	complete(cmd, "where", lastOf(query.Names()...))
	return w
}

// check reads the condition.
func (w *whereFlag) check(cmd *cobra.Command) error {
	if w.expr == "" {
		return nil
	}
	q, err := query.Compile(w.expr)
	var at *query.Error
	if errors.As(err, &at) {
		return misused(cmd, "--where: %w", err)
	}
	w.compiled = q
	return err
}

// calls makes of each a function for a station that calls each with the wanted calls, and
// with their content where needs or the condition ask for it. It adds to the options what
// that takes. end frees what is kept and says what could not be known; call it at the end.
func (w *whereFlag) calls(cmd *cobra.Command, o *calls.Options, needs query.Needs, each func(*query.Call, *calls.Call) error) (f func(*calls.Call) error, end func() error, err error) {
	if err := w.check(cmd); err != nil {
		return nil, nil, err
	}
	match := func(*query.Call) (bool, error) { return true, nil }
	if q := w.compiled; q != nil {
		needs |= q.Needs()
		match = q.Evaluator().Match
	}
	var collector *content.Collector
	if wanted := content.Of(needs); wanted.Any() {
		collector = content.NewCollector(wanted, content.Limits{})
		o.Span, o.Keeper = collector.Span, collector
		o.Dropped = func(c *calls.Call) { _ = collector.Take(c).Close() } // it was never anybody's
	}
	unknown, example := 0, error(nil)
	var row query.Call
	f = func(c *calls.Call) error {
		row = query.Call{Call: &c.Call, Identity: &c.Identity}
		if collector != nil {
			kept := collector.Take(c)
			defer func() { _ = kept.Close() }() // it was only read
			row.Content = kept
		}
		matched, err := match(&row)
		if err != nil {
			unknown++
			example = err
		}
		if err != nil || c.Incomplete != 0 {
			w.incomplete++
		}
		if !matched {
			return nil
		}
		return each(&row, c)
	}
	end = func() error {
		if err := w.t.stdout.Flush(); err != nil {
			return err
		}
		if unknown > 0 {
			fmt.Fprintf(w.t.stderr, "tcpcopyctl: of %s a part that the condition asks for is not known; of the last one: %s\n", plural(unknown, "call"), printable(example.Error()))
		}
		if collector != nil {
			return collector.Close()
		}
		return nil
	}
	return f, end, nil
}
