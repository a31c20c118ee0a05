package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/replay"
)

// replayOutput prints what a replay would do, or has done.
type replayOutput struct {
	t      *tool
	output *output
	all    bool          // connections without differences too
	rows   *json.Encoder // of JSON lines; nil for a table
	tab    *table        // nil before its first row
	err    error         // the first one of the printing
}

// plan prints what a replay would do.
func (o *replayOutput) plan(p *replay.Plan, options replay.Options) error {
	if o.rows == nil {
		o.tab = o.output.newTable(
			connColumn(),
			column{heading: "WINDOW", from: 120},
			column{heading: "PEER", least: 15, middle: true, from: 100},
			column{heading: "PROTOCOL"},
			column{heading: "STARTS", right: true},
			column{heading: "TAKES", right: true, from: 100},
			column{heading: "SENDS", right: true},
			column{heading: "BYTES", right: true},
			column{heading: "TURNS", right: true},
			column{heading: "NOTE", least: 20},
		)
	}
	for i := range p.Conns {
		c := &p.Conns[i]
		protocol := replay.Bytes
		if !c.Skipped && !options.OnlyBytes {
			var err error
			if protocol, err = c.Protocol(); err != nil {
				return err
			}
		}
		if o.rows != nil {
			if err := o.rows.Encode(planRowOf(c, protocol)); err != nil {
				return err
			}
			continue
		}
		note := obstacles(c.Obstacles)
		row := texts(printable(c.Conn), o.output.window(c.Window), printable(c.Peer), string(protocol),
			"+"+length(c.Starts), length(c.Takes), strconv.Itoa(c.Sends), size(c.Payload), strconv.Itoa(c.Turns), note)
		if c.Skipped {
			copy(row[3:], texts("-", "-", "-", "-", "-"))
			row[9] = cell{text: "left out: " + note, colour: o.t.colours().lost}
		}
		if err := o.tab.add(row...); err != nil {
			return err
		}
	}
	if o.rows != nil {
		return o.rows.Encode(planSummary{
			Summary: true, Target: options.Target.String(), Connections: p.Replayed, Skipped: p.Skipped, Sends: p.Sends, Bytes: p.Bytes, Seconds: p.Length.Seconds(),
		})
	}
	if err := o.tab.end(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(o.t.stdout, "\nwould send %d times, %s in all, on %d connections to %s in %s; %d connections are left out\n",
		p.Sends, size(p.Bytes), p.Replayed*max(options.Loops, 1), printable(options.Target.String()), length(p.Length), p.Skipped)
	return err
}

// obstacles returns the texts of obstacles for a table.
func obstacles(all []replay.Obstacle) string {
	texts := make([]string, len(all))
	for i, obstacle := range all {
		texts[i] = printable(obstacle.Detail)
	}
	return strings.Join(texts, "; ")
}

// conn prints the result of one connection. The replay calls it for one at a time.
func (o *replayOutput) conn(c *replay.Conn) {
	var err error
	if o.rows != nil {
		err = o.rows.Encode(replayRowOf(c))
	} else if o.all || c.Notable() {
		if o.tab == nil {
			o.tab = o.output.newTable(
				connColumn(),
				column{heading: "WINDOW", from: 120},
				column{heading: "PEER", least: 15, middle: true, from: 120},
				column{heading: "PROTOCOL", from: 100},
				column{heading: "SENT", right: true},
				column{heading: "TURNS", right: true, from: 100},
				column{heading: "EQUAL", right: true},
				column{heading: "DIFFERENT", right: true},
				column{heading: "MISSING", right: true},
				column{heading: "LATE", right: true},
				column{heading: "NOTE", least: 20},
			)
		}
		err = o.tab.add(o.connResult(c)...)
	}
	if o.err == nil {
		o.err = err
	}
}

// connResult returns the cells of a connection's row in the table.
func (o *replayOutput) connResult(c *replay.Conn) []cell {
	colour := o.t.colours()
	row := texts(printable(c.Conn), o.output.window(c.Window), printable(c.Peer), string(c.Protocol))
	note := cell{text: obstacles(c.Obstacles)}
	if c.Skipped {
		row[3].text = "-"
		note = cell{text: "left out: " + note.text, colour: colour.lost}
		return append(append(row, texts("-", "-", "-", "-", "-", "-")...), note)
	}
	sent := strconv.Itoa(c.Sent)
	if c.Sent < c.Sends {
		sent += " of " + strconv.Itoa(c.Sends)
	}
	row = append(row, cell{text: sent})
	for _, n := range []struct {
		count  uint64
		colour string // unless it is 0
	}{{c.Turns, ""}, {c.Equal, ""}, {c.Different, colour.failed}, {c.Missing, colour.failed}, {c.Late, colour.slow}} {
		count := cell{text: strconv.FormatUint(n.count, 10)}
		if n.count > 0 {
			count.colour = n.colour
		}
		row = append(row, count)
	}
	if !c.Compared {
		copy(row[6:], texts("-", "-", "-", "-"))
		note.text = joinNotes(note.text, "answers not compared")
	}
	if c.Err != nil {
		note = cell{text: joinNotes("failed: "+printable(c.Err.Error()), note.text), colour: colour.failed}
	}
	return append(row, note)
}

func joinNotes(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// result prints the differences and the summary.
func (o *replayOutput) result(r *replay.Result) error {
	if o.err != nil {
		return o.err
	}
	if o.rows != nil {
		return o.rows.Encode(replaySummaryOf(r))
	}
	var b []byte
	if o.tab != nil {
		if err := o.tab.end(); err != nil {
			return err
		}
		b = append(b, '\n')
	}
	colours := o.t.colours()
	for _, c := range r.Conns {
		for i := range c.Differences {
			b = appendDifference(b, c, &c.Differences[i], colours)
		}
		if more := c.Different + c.Missing - uint64(len(c.Differences)); more > 0 {
			b = fmt.Appendf(b, "%s: %d more\n\n", printable(c.Conn), more)
		}
	}
	if r.MoreConns > 0 {
		b = fmt.Appendf(b, "%d more connections with differences or notes are not shown\n\n", r.MoreConns)
	}
	b = appendReplaySummary(b, r)
	_, err := o.t.stdout.Write(b)
	return err
}

func appendReplaySummary(b []byte, r *replay.Result) []byte {
	verb := "replayed"
	if r.Interrupted {
		verb = "interrupted; replayed"
	}
	b = fmt.Appendf(b, "%s %d connections to %s in %s: %d sent, %d failed, %d left out\n",
		verb, r.Connections, printable(r.Target), length(r.Elapsed), r.Sent, r.Failed, r.Skipped)
	if r.Compared {
		b = fmt.Appendf(b, "%d turns: %d equal, %d different, %d missing, %d late\n", r.Turns, r.Equal, r.Different, r.Missing, r.Late)
		if r.Baseline != "" {
			b = fmt.Appendf(b, "%d of the equal and late ones differ only where the baseline %s does\n", r.Noise, printable(r.Baseline))
		}
	}
	for _, line := range []struct {
		name string
		h    *replay.Histogram
	}{{"latency recorded", &r.Recorded}, {"latency replayed", &r.Replayed}, {"sent later than planned", &r.Lateness}} {
		if line.h.Count == 0 {
			continue
		}
		q := line.h.Quantiles()
		b = fmt.Appendf(b, "%-23s  p50 %s  p90 %s  p99 %s  max %s\n", line.name, briefly(q.P50), briefly(q.P90), briefly(q.P99), briefly(q.Max))
	}
	return b
}

// replayLine returns how far a replay has come, for people.
func replayLine(p replay.Progress) string {
	return fmt.Sprintf("%d sent, %d answered, %d different, %d failed (%d of %d connections)",
		p.Sent, p.Answered, p.Different, p.Failed, p.Connections, p.Total)
}

// briefly returns a latency for people.
func briefly(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}
