package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/query"
	"mosn.io/tcpcopy/tool/internal/quantile"
)

// callGroups sums calls up by the values of fields.
type callGroups struct {
	o         *output
	asJSON    bool
	fields    *query.Fields
	evaluator *query.Evaluator
	sort      string // "", or one of groupOrders
	top       int    // 0 means all

	pool   *quantile.Pool
	groups map[string]*callGroup
	values []query.Value
	key    []byte
	other  bool // some calls are in the group of all others
}

// callGroup is a line of the output.
type callGroup struct {
	values        []query.Value
	calls, failed uint64
	bytes         uint64
	latencies     *quantile.Latencies
	first         time.Time
}

// maxGroups is how many groups there are at most. Further calls are in one more.
const maxGroups = 20_000

func (o *output) newCallGroups(asJSON bool, fields *query.Fields, order string, top int) *callGroups {
	return &callGroups{
		o: o, asJSON: asJSON, fields: fields, evaluator: fields.Evaluator(), sort: order, top: top,
		pool: quantile.NewPool(), groups: map[string]*callGroup{},
	}
}

func (g *callGroups) add(row *query.Call, c *calls.Call) error {
	// What is not known is not OK, which is all that the error says.
	g.values, _ = g.evaluator.Values(g.values[:0], row)
	g.key = g.key[:0]
	for _, v := range g.values {
		g.key = strconv.AppendBool(g.key, v.OK)
		g.key = strconv.AppendQuote(g.key, v.Text)
	}
	group := g.groups[string(g.key)]
	if group == nil {
		if len(g.groups) >= maxGroups {
			g.other = true
			g.key = append(g.key[:0], "other"...)
			for i := range g.values {
				g.values[i] = query.Value{}
			}
			group = g.groups["other"]
		}
		if group == nil {
			group = &callGroup{values: slices.Clone(g.values), latencies: g.pool.New(), first: c.Time()}
			g.groups[string(g.key)] = group
		}
	}
	group.calls++
	if c.Failed {
		group.failed++
	}
	group.bytes += c.Request.Size() + c.Response.Size()
	if d, ok := c.Latency(); ok {
		group.latencies.Add(d)
	}
	return nil
}

// sorted returns the groups: those with the most calls first, or as --sort says.
func (g *callGroups) sorted() []*callGroup {
	all := make([]*callGroup, 0, len(g.groups))
	for _, group := range g.groups {
		all = append(all, group)
	}
	slices.SortFunc(all, func(a, b *callGroup) int {
		order := cmp.Compare(b.calls, a.calls)
		switch g.sort {
		case "bytes":
			order = cmp.Compare(b.bytes, a.bytes)
		case "time":
			order = a.first.Compare(b.first)
		case "latency", "duration":
			order = cmp.Compare(b.latencies.At(0.99), a.latencies.At(0.99))
		}
		return cmp.Or(order, strings.Compare(fmt.Sprint(a.values), fmt.Sprint(b.values)))
	})
	if g.top > 0 && len(all) > g.top {
		all = all[:g.top]
	}
	return all
}

// quantiles are the shares of the columns with latencies.
var quantiles = [...]struct {
	name  string
	share float64
}{{"p50", 0.50}, {"p90", 0.90}, {"p99", 0.99}, {"max", 1}}

func (g *callGroups) end() error {
	if g.other {
		fmt.Fprintf(g.o.t.stderr, "tcpcopyctl: there are more than %d groups: the calls of the others are in one without values\n", maxGroups)
	}
	if g.asJSON {
		return g.printJSON()
	}
	if len(g.groups) == 0 {
		return nil
	}
	var columns []column
	for _, name := range g.fields.Names() {
		columns = append(columns, column{heading: strings.ToUpper(name), least: 8, middle: true})
	}
	columns = append(columns, column{heading: "CALLS", right: true}, column{heading: "FAILED", right: true})
	less := 0 // how wide the line must be for what has no place beside several fields
	if len(g.fields.Names()) > 1 {
		less = 100
	}
	for _, q := range quantiles {
		c := column{heading: strings.ToUpper(q.name), right: true}
		if q.name == "p90" {
			c.from = less
		}
		columns = append(columns, c)
	}
	tab := g.o.newTable(append(columns, column{heading: "BYTES", right: true, from: less})...)
	colour := g.o.t.colours()
	for _, group := range g.sorted() {
		var row []cell
		for _, v := range group.values {
			text := printable(v.Text)
			if !v.OK || text == "" {
				text = "-"
			}
			row = append(row, cell{text: text})
		}
		failed := cell{text: fmt.Sprint(group.failed)}
		if group.failed > 0 {
			failed.colour = colour.failed
		}
		row = append(row, cell{text: fmt.Sprint(group.calls)}, failed)
		for _, q := range quantiles {
			latency := cell{text: "-"}
			if group.latencies.Count() > 0 {
				d := group.latencies.At(q.share)
				latency.text = fineLength(d)
				if d >= slow {
					latency.colour = colour.slow
				}
			}
			row = append(row, latency)
		}
		if err := tab.add(append(row, cell{text: size(group.bytes)})...); err != nil {
			return err
		}
	}
	return tab.end()
}

// printJSON prints an object for each group.
func (g *callGroups) printJSON() error {
	for _, group := range g.sorted() {
		line := []byte{'{'}
		for i, name := range g.fields.Names() {
			if name == "failed" {
				continue // the number of failed calls says it: 0, or all
			}
			var value any
			switch v := group.values[i]; {
			case !v.OK:
			case name == "code":
				value = json.RawMessage(v.Text) // a number
			default:
				value = v.Text
			}
			field, err := json.Marshal(map[string]any{name: value})
			if err != nil {
				return err
			}
			line = append(append(line, field[1:len(field)-1]...), ',')
		}
		line = fmt.Appendf(line, `"calls":%d,"failed":%d`, group.calls, group.failed)
		for _, q := range quantiles {
			line = fmt.Appendf(line, `,"%s_ms":`, q.name)
			if group.latencies.Count() == 0 {
				line = append(line, "null"...)
				continue
			}
			ms, err := json.Marshal(float64(group.latencies.At(q.share)) / float64(time.Millisecond))
			if err != nil {
				return err
			}
			line = append(line, ms...)
		}
		line = fmt.Appendf(line, `,"bytes":%d}`, group.bytes)
		if _, err := g.o.t.stdout.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}
