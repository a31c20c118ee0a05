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
		Long: `conns lists the connections that took part in the windows of a dump, one a line and
window: who talked, when, how much went each way, and whether all of it is there.
A connection is complete when its beginning and its end were seen and nothing is
missing in between.`,
		Example: `  tcpcopyctl conns --window 5f3c
  tcpcopyctl conns --peer 10.0.0.0/8 --port 8080
  tcpcopyctl conns -o json | jq 'select(.complete | not)'`,
		Args: atMost(1),
	}
	r := t.readFlags(cmd)
	r.streams = true
	o := addOutput(cmd)
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
			tab = newTable(t.stdout, "CONN", "WINDOW", "PEER", "LISTENER", "FIRST", "LAST", ">IN", ">OUT", ">GAPS", "COMPLETE")
			put = func(c *dump.Connection) error { return tab.add(o.connCells(c)...) }
		}
		gaps := 0
		if err := q.Connections(cmd.Context(), func(c *dump.Connection) error {
			gaps += len(c.Gaps) + c.MoreGaps
			return put(c)
		}); err != nil {
			return err
		}
		if tab != nil {
			if err := tab.end(); err != nil {
				return err
			}
		}
		if check && gaps > 0 {
			return fmt.Errorf("%w: %d gaps", errFound, gaps)
		}
		return nil
	}
	return cmd
}

// connCells returns the cells of a connection's row in the table.
func (o *output) connCells(c *dump.Connection) []string {
	complete := "no"
	if c.Complete() {
		complete = "yes"
	}
	listener := c.Listener
	if listener == "" {
		listener = c.Port
	}
	gaps := "-"
	if n := len(c.Gaps) + c.MoreGaps; n > 0 {
		gaps = fmt.Sprintf("%d (%s)", n, size(c.Lost.In+c.Lost.Out))
	}
	return []string{printable(c.Conn), shortWindow(c.Window), printable(c.Peer), printable(listener), o.time(c.First, dayAndTime), o.time(c.Last, dayAndTime),
		size(c.Bytes.In), size(c.Bytes.Out), gaps, complete}
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
