package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

func (t *tool) connsCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "conns [DIR]",
		Short: "List the connections of a dump",
		Long: `conns lists the connections that took part in the windows of a dump, one a line
and window: who talked, when, how much went each way, and whether all of it is
there. A connection is complete when its beginning and its end were seen and
nothing is missing in between.`,
		Example: `  tcpcopyctl conns --window 5f3c
  tcpcopyctl conns --peer 10.0.0.0/8 --port 8080
  tcpcopyctl conns -o json | jq 'select(.complete | not)'`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	r.streams = true
	o := t.addOutput(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 if a connection has gaps")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q, err := r.query(cmd, args)
		if err != nil {
			return err
		}
		asJSON, err := o.json(cmd)
		if err != nil {
			return err
		}
		var put func(*dump.Connection) error
		var tab *table
		if asJSON {
			e := newJSONLines(t.stdout)
			put = func(c *dump.Connection) error { return e.Encode(connRowOf(c)) }
		} else {
			tab = o.newConnTable()
			put = func(c *dump.Connection) error { return tab.add(o.connCells(c)...) }
		}
		gaps, found := 0, false
		if err := q.Connections(cmd.Context(), func(c *dump.Connection) error {
			gaps += len(c.Gaps) + c.MoreGaps
			found = true
			return put(c)
		}); err != nil {
			return err
		}
		if tab != nil {
			if err := tab.end(); err != nil {
				return err
			}
		}
		if !found {
			t.explainNothing(q, o)
		}
		if check && gaps > 0 {
			return fmt.Errorf("%w: %s", errFound, plural(gaps, "gap"))
		}
		return nil
	}
	return cmd
}

// newConnTable returns a table for the rows of connCells.
func (o *output) newConnTable() *table {
	listener, clock := "PORT", "15:04:05"
	if o.fits(showsListeners) {
		listener, clock = "LISTENER", "15:04:05.000"
	}
	return o.newTable(
		connColumn(),
		column{heading: "WINDOW", from: 100},
		column{heading: "PEER", least: 15, middle: true},
		column{heading: listener, least: 10, middle: true},
		column{heading: "FIRST", clock: clock, right: true},
		column{heading: "LAST", clock: clock, right: true, from: 120},
		column{heading: "IN", right: true},
		column{heading: "OUT", right: true},
		column{heading: "COMPLETE", least: 10},
	)
}

// connColumn is the column with the identities of connections. Those that recorders give
// are never shortened.
func connColumn() column { return column{heading: "CONN", least: 27, middle: true} }

// showsListeners is how wide lines must be for tables to have the addresses of listeners
// and not just their ports, in columns of the terminal.
const showsListeners = 120

// connCells returns the cells of a connection's row in the table.
func (o *output) connCells(c *dump.Connection) []cell {
	complete := cell{text: "no"}
	if c.Complete() {
		complete.text = "yes"
	}
	if n := len(c.Gaps) + c.MoreGaps; n > 0 {
		complete = cell{text: fmt.Sprintf("no: %s", size(c.Lost.In+c.Lost.Out)), colour: o.t.colours().lost}
		if o.fits(showsListeners) {
			complete.text += fmt.Sprintf(" lost in %s", plural(n, "gap"))
		}
	}
	listener := c.Listener
	if listener == "" || !o.fits(showsListeners) {
		listener = c.Port
	}
	return []cell{
		{text: printable(c.Conn)}, {text: o.window(c.Window)}, {text: printable(c.Peer)}, {text: printable(listener)}, {at: c.First}, {at: c.Last},
		{text: size(c.Bytes.In)}, {text: size(c.Bytes.Out)}, complete,
	}
}

// connRow is a connection as a JSON line.
type connRow struct {
	Conn     string              `json:"conn"`
	Window   string              `json:"window"`
	Peer     string              `json:"peer"`
	Listener string              `json:"listener"`
	Port     string              `json:"port"`
	Network  string              `json:"network,omitempty"`
	First    time.Time           `json:"first"`
	Last     time.Time           `json:"last"`
	Bytes    record.PerDirection `json:"bytes"`
	Gaps     []gapRow            `json:"gaps"`
	MoreGaps int                 `json:"more_gaps,omitempty"` // gaps that are not listed
	Complete bool                `json:"complete"`
	Reason   string              `json:"reason,omitempty"`    // how it ended
	PassedOn uint64              `json:"passed_on,omitempty"` // of the bytes out: those that went to the next process instead
	Legacy   bool                `json:"legacy,omitempty"`    // all connections of the port together
}

type gapRow struct {
	Direction string `json:"direction"`
	Offset    uint64 `json:"offset"`
	Length    uint64 `json:"length"`
	Reason    string `json:"reason"`
}

func connRowOf(c *dump.Connection) connRow {
	row := connRow{
		Conn: c.Conn, Window: c.Window, Peer: c.Peer, Listener: c.Listener, Port: c.Port, Network: c.Network,
		First: c.First.UTC(), Last: c.Last.UTC(), Bytes: c.Bytes, Gaps: []gapRow{}, MoreGaps: c.MoreGaps,
		Complete: c.Complete(), Reason: c.Reason, PassedOn: c.PassedOn(), Legacy: c.Legacy,
	}
	for _, g := range c.Gaps {
		row.Gaps = append(row.Gaps, gapRow{g.Direction.String(), g.Offset, g.Length, g.Reason})
	}
	return row
}
