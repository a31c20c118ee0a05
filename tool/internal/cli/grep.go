package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/tool/internal/grep"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// grepFlags is the command line of grep.
type grepFlags struct {
	options grep.Options
	count   bool
	most    int // matches to print; 0 means all
	context int // bytes
	calls   calls.Options
}

const (
	grepContext    = 30   // bytes before and after a match, when nothing else is said
	maxGrepContext = 4096 // that can be asked for
)

func (t *tool) grepCommand() *cobra.Command {
	var g grepFlags
	cmd := &cobra.Command{
		Use:   "grep PATTERN [DIR]",
		Short: "Find bytes in what was recorded",
		Long: `grep searches the streams of a dump: the bytes of each direction of a connection as they
passed, wherever the recorder's records begin and end. It prints each match with its
connection and call, its direction (">" is to the proxy, "<" to the client), its offset in
the stream, and what is around it.

PATTERN is a regular expression (https://github.com/google/re2/wiki/Syntax). A match lies in
one line, unless the expression says \n or \r, or --multiline is given. --fixed-strings looks
for the text as it is, --hex for bytes. Matches do not overlap, are not empty, and do not go
over bytes that were not recorded. An expression sees at least 64 KiB from where a match begins.

The exit code is 0 also when nothing is found; standard error says then what was searched.`,
		Example: `  tcpcopyctl grep 'X-Request-Id: 77\b'
  tcpcopyctl grep -F '"sku":"4711"' --direction in --since 10m
  tcpcopyctl grep -i 'timeout|refused|reset' -C 80
  tcpcopyctl grep --hex '16 03 01' --port 8443
  tcpcopyctl grep 'HTTP/1.1 50\d' -c
  tcpcopyctl grep -o json panic | jq -r .call | sort -u`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return misused(cmd, "there is no pattern: what is to be found?")
			case len(args) > 2:
				return misused(cmd, "%d arguments, at most 2: a pattern and a directory; quote a pattern with spaces", len(args))
			}
			return nil
		},
	}
	r := t.readFlags(cmd)
	r.streams, r.before = true, 1
	o := t.addOutput(cmd)
	d := addDecodeFlags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&g.options.Fixed, "fixed-strings", "F", false, "look for the pattern as it is")
	f.BoolVar(&g.options.Hex, "hex", false, "the pattern is bytes in hexadecimal, such as 0d0a or '0d 0a'")
	f.BoolVarP(&g.options.IgnoreCase, "ignore-case", "i", false, "match upper and lower case")
	f.BoolVarP(&g.options.Multiline, "multiline", "U", false, "let a match go across the ends of lines")
	f.BoolVarP(&g.count, "count", "c", false, "print how many matches each connection has")
	f.IntVarP(&g.most, "max-count", "m", 0, "end after this `number` of matches")
	f.IntVarP(&g.context, "context", "C", grepContext, "show this `number` of bytes before and after a match")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := g.check(cmd); err != nil {
			return err
		}
		pattern, err := grep.Compile(args[0], g.options)
		if err != nil {
			return misused(cmd, "the pattern %q is not valid: %w", args[0], err)
		}
		q, err := r.query(cmd, args[1:])
		if err != nil {
			return err
		}
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		if g.calls, err = d.options(cmd); err != nil {
			return err
		}
		if g.count {
			return t.countMatches(cmd.Context(), q, pattern, o, asJSON)
		}
		return t.grep(cmd.Context(), q, pattern, &g, newMatchPrinter(t, o, asJSON))
	}
	return cmd
}

// check checks what flags do not check themselves.
func (g *grepFlags) check(cmd *cobra.Command) error {
	if err := exclusive(cmd, "fixed-strings", "hex"); err != nil {
		return err
	}
	if err := exclusive(cmd, "count", "max-count"); err != nil {
		return err
	}
	switch {
	case g.options.Hex && g.options.IgnoreCase:
		return misused(cmd, "--hex looks for bytes, which have no case: leave --ignore-case out")
	case g.options.Multiline && (g.options.Hex || g.options.Fixed):
		return misused(cmd, "--multiline is for expressions: --fixed-strings and --hex go across lines anyway")
	case cmd.Flags().Changed("max-count") && g.most < 1:
		return misused(cmd, "--max-count is %d, valid: 1 or more", g.most)
	case g.context < 0 || g.context > maxGrepContext:
		return misused(cmd, "--context is %d, valid: 0 to %d", g.context, maxGrepContext)
	}
	return nil
}

// errEnough ends the reading of who has found as much as was wanted.
var errEnough = errors.New("as much as was wanted is found")

// grep prints the matches. It collects some, finds their calls in a second reading, and
// prints them: so a search decodes nothing where there is no match.
func (t *tool) grep(ctx context.Context, q *reading.Query, p *grep.Pattern, g *grepFlags, printer *matchPrinter) error {
	batch := matchBatch{}
	found := 0
	s := grep.New(p, g.context, func(m *grep.Match) error {
		found++
		batch.add(m)
		if batch.full() {
			if err := t.printMatches(ctx, q, g, &batch, printer); err != nil {
				return err
			}
		}
		if found == g.most {
			return errEnough
		}
		return nil
	})
	err := t.search(ctx, q, s)
	if errors.Is(err, errEnough) {
		err = nil
	}
	err = errors.Join(err, t.printMatches(ctx, q, g, &batch, printer))
	if err == nil && found == 0 {
		t.explainNoMatch(q, printer.output, s)
	}
	t.explainFallbacks(&printer.fallbacks, false, `; "tcpcopyctl calls --coverage" says more`)
	return err
}

// search gives a search the records of a query.
func (t *tool) search(ctx context.Context, q *reading.Query, s *grep.Search) error {
	err := q.Each(ctx, s.Add)
	// What was read before an error is searched, too.
	if last := s.Finish(); err == nil {
		err = last
	}
	if late := s.Late(); late > 0 && q.Report.Remark != nil {
		q.Report.Remark(fmt.Sprintf("%d bytes are left out, because they come after later ones of their stream: are the files of one dump, in their order?", late))
	}
	return err
}

// explainNoMatch says what was searched, and why the rest was not.
func (t *tool) explainNoMatch(q *reading.Query, o *output, s *grep.Search) {
	if searched, lost := s.Bytes(); searched > 0 {
		fmt.Fprintf(t.stderr, "tcpcopyctl: nothing matches in the %s that were searched; %s of these streams were not recorded\n", size(searched), size(lost))
	}
	t.explainNothing(q, o)
}

// printMatches finds the calls of the matches of a batch and prints them. The batch is empty
// then.
func (t *tool) printMatches(ctx context.Context, q *reading.Query, g *grepFlags, batch *matchBatch, printer *matchPrinter) error {
	defer batch.reset()
	if len(batch.matches) == 0 {
		return nil
	}
	located, err := q.Locate()
	if err != nil {
		return err
	}
	if located == "-" {
		if !printer.without {
			printer.without = true
			fmt.Fprintln(t.stderr, "tcpcopyctl: the calls of standard input are not known, because it can be read once: give a directory or a file")
		}
	} else {
		fallbacks, err := q.CallsAt(ctx, g.calls, batch.places())
		if ctx.Err() != nil {
			fmt.Fprintln(t.stderr, "tcpcopyctl: interrupted: the calls of the last matches are not known")
		} else if err != nil {
			return err
		}
		printer.addFallbacks(fallbacks)
	}
	for i := range batch.matches {
		if err := printer.print(&batch.matches[i]); err != nil {
			return err
		}
	}
	return t.stdout.Flush() // the next ones may be far away
}

// countMatches prints how many matches each connection has.
func (t *tool) countMatches(ctx context.Context, q *reading.Query, p *grep.Pattern, o *output, asJSON bool) error {
	s := grep.New(p, 0, func(*grep.Match) error { return nil })
	var put func(c *dump.Connection, matches uint64) error
	end := func() error { return nil }
	if asJSON {
		e := newJSONLines(t.stdout)
		put = func(c *dump.Connection, matches uint64) error { return e.Encode(countRow{c.Conn, c.Window, matches}) }
	} else {
		tab := o.newTable(connColumn(), column{heading: "WINDOW"}, column{heading: "MATCHES", right: true})
		put = func(c *dump.Connection, matches uint64) error {
			return tab.add(texts(printable(c.Conn), o.window(c.Window), fmt.Sprint(matches))...)
		}
		end = tab.end
	}
	found := false
	s.Done = func(c *dump.Connection, matches uint64) error {
		found = true
		return put(c, matches)
	}
	if err := t.search(ctx, q, s); err != nil {
		return err
	}
	if !found {
		t.explainNoMatch(q, o, s)
		return nil
	}
	return end()
}

// countRow is how many matches a connection has, as a JSON line.
type countRow struct {
	Conn   string `json:"conn"`
	Window string `json:"window"`
	Count  uint64 `json:"count"`
}
