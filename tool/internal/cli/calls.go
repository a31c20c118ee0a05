package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/tool/internal/reading"
)

func (t *tool) callsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "calls [DIR]",
		Short: "List the calls of a dump, or sum them up",
		Long: `calls decodes what was recorded and lists the calls, one a line: who asked for what,
what came back, and how long it took. It knows HTTP, gRPC, WebSocket, Dubbo, Bolt,
TARS, Thrift, Redis, MySQL, PostgreSQL and Kafka; of other connections each turn is a
call. --by sums calls up: one line for each value of a field.

A call is marked where bytes of it were not recorded. --coverage says what the calls
are based on.`,
		Example: `  tcpcopyctl calls --where failed
  tcpcopyctl calls --where 'code >= 500 and path startsWith "/checkout"'
  tcpcopyctl calls --sort latency --top 10
  tcpcopyctl calls --by route
  tcpcopyctl calls -f --port 8080              what is recorded now, as it comes
  tcpcopyctl calls -o json | jq .target`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	r.streams = true
	o := t.addOutput(cmd)
	d := addDecodeFlags(cmd)
	w := t.addWhereFlag(cmd)
	l := addListFlags(cmd)
	var coverage, follow bool
	f := cmd.Flags()
	f.BoolVar(&coverage, "coverage", false, "say at the end what the calls are based on, and what could not be known")
	f.BoolVarP(&follow, "follow", "f", false, "go on with what is written, also when the files are rotated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := r.query(cmd, args)
		if err != nil {
			return err
		}
		if q.Options.Filter.Only != nil {
			return misused(cmd, "--direction chooses bytes, and a call has those of both directions: leave it out")
		}
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		options, err := d.options(cmd)
		if err != nil {
			return err
		}
		list, err := l.list(cmd, o, asJSON, follow)
		if err != nil {
			return err
		}
		if follow {
			options.EndAtClose = true
			wait := t.poll(cmd.Context())
			q.Options.Wait = func() error {
				if err := flushCalls(list); err != nil {
					return err
				}
				return wait()
			}
		}
		found := false
		each, end, err := w.calls(cmd, &options, needs(list), func(row *query.Call, c *calls.Call) error {
			found = true
			return list.add(row, c)
		})
		if err != nil {
			return err
		}
		defer runtime.KeepAlive(make([]byte, unusedHeap))
		c, err := q.Calls(cmd.Context(), options, each)
		if errors.Is(err, errEnough) {
			err = nil
		}
		err = errors.Join(err, list.end(), end())
		if errors.Is(err, context.Canceled) && !follow {
			return errors.New("interrupted: a part of the dump was read, and what is printed is of that part")
		}
		if err != nil {
			return err
		}
		if !found && !follow {
			t.explainNoCalls(q, o, &c, w.incomplete)
		}
		if coverage && asJSON {
			if err := newJSONLines(t.stdout).Encode(map[string]calls.Coverage{"coverage": c}); err != nil {
				return err
			}
		}
		t.explain(&c, coverage, "--coverage")
		return nil
	}
	return cmd
}

// unusedHeap is memory that is never touched, so that it is not resident. A reading holds little and makes garbage with
// each call: this is how much more of it there is before the collector runs, however much is held.
const unusedHeap = 16 << 20

// explain says on standard error what could not be known; all says more. hint is what a user
// can type for that, if there is something.
func (t *tool) explain(c *calls.Coverage, all bool, hint string) {
	if err := t.stdout.Flush(); err != nil {
		return // run reports it
	}
	say := func(format string, args ...any) { fmt.Fprintf(t.stderr, "tcpcopyctl: "+format+"\n", args...) }
	if hint != "" {
		hint = "; " + hint + " says more"
	}
	if all {
		hint = ""
		say("%s, %d bytes seen, %d lost, %d not decoded", plural(c.Windows, "window"), c.Seen, c.Lost, c.Undecoded)
		const most = 20
		for _, u := range c.Uncertain[:min(most, len(c.Uncertain))] {
			say("%s, window %s, port %s: %s", printable(u.Conn), printable(layout.WindowPrefix(u.Window)), printable(u.Port), unknownBytes(u.Lost, u.Undecoded))
		}
		if n := len(c.Uncertain) + c.More - most; n > 0 {
			say("and %s more", plural(n, "connection"))
		}
	} else if n := len(c.Uncertain); n > 0 {
		const most = 5
		var names []string
		for _, u := range c.Uncertain[:min(most, n)] {
			names = append(names, printable(u.Conn))
		}
		text := strings.Join(names, ", ")
		if n := n + c.More - most; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		of := unknownBytes(c.Lost-c.OnlyIndexed.Lost, c.Undecoded-c.OnlyIndexed.Undecoded)
		say("%s, on %s (%s)%s", of, plural(n+c.More, "connection"), text, hint)
	}
	t.explainFallbacks(c, all, hint)
	if only := &c.OnlyIndexed; only.Lost+only.Undecoded > 0 {
		say("%s, which only the index counts: of which connections, is not known%s", unknownBytes(only.Lost, only.Undecoded), hint)
	}
	if c.Elsewhere > 0 {
		say("%s of the same windows were lost, perhaps of other connections%s", plural(c.Elsewhere, "byte"), hint)
	}
}

// unknownBytes says how many bytes are not known, and why.
func unknownBytes(lost, undecoded uint64) string {
	switch {
	case undecoded == 0:
		return plural(lost, "byte") + " were not recorded"
	case lost == 0:
		return plural(undecoded, "byte") + " were not decoded"
	}
	return fmt.Sprintf("%s were not recorded and %d not decoded", plural(lost, "byte"), undecoded)
}

// decodeFlags is the part of a command line that says how streams are decoded.
type decodeFlags struct {
	protocols []string
}

func addDecodeFlags(cmd *cobra.Command) *decodeFlags {
	d := &decodeFlags{}
	cmd.Flags().StringSliceVar(&d.protocols, "protocol", nil, "the protocol of a listener, as `PORT=NAME`, where the bytes do not tell it")
	return d
}

// options returns what the flags say.
func (d *decodeFlags) options(cmd *cobra.Command) (calls.Options, error) {
	o := calls.Options{Protocols: map[string]string{}}
	for _, p := range d.protocols {
		at := strings.LastIndexByte(p, '=')
		if at <= 0 {
			return o, misused(cmd, "--protocol is %q, which is not PORT=NAME, such as 8080=http/1.1", p)
		}
		name := p[at+1:]
		if !slices.Contains(protocol.Names(), name) {
			return o, misused(cmd, "--protocol %q names no protocol that is known, valid: %s", name, strings.Join(protocol.Names(), ", "))
		}
		port, err := reading.ParsePort(p[:at])
		if err != nil {
			return o, misused(cmd, "--protocol is %q, whose port is %w", p, err)
		}
		o.Protocols[port] = name
	}
	return o, nil
}
