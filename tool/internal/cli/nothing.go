package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/tool/internal/reading"
	"mosn.io/tcpcopy/tool/internal/spelling"
)

// explainNothing says on standard error why a query may have found nothing, so that "it did
// not pass" is not mistaken for "it was not recorded". Call it after a query of a dump that
// has found nothing.
func (t *tool) explainNothing(q *reading.Query, o *output) {
	t.explainNoCalls(q, o, &calls.Coverage{}, 0)
}

// explainNoCalls is explainNothing for a query of calls that has c as its coverage, and has
// seen a number of calls of which a part is not known.
func (t *tool) explainNoCalls(q *reading.Query, o *output, c *calls.Coverage, incomplete int) {
	why := o.whyNothing(q, incomplete > 0 || c.Lost+c.Undecoded+c.Elsewhere > 0 || len(c.Fallbacks) > 0)
	if incomplete > 0 {
		why = append(why, fmt.Sprintf("of %s a part is not known, such as the answer: what you look for may be one of them", plural(incomplete, "call")))
	}
	for _, line := range why {
		fmt.Fprintln(t.stderr, "tcpcopyctl:", printable(line))
	}
}

// whyNothing returns the sentences of explainNothing. unknown says that not all of what was
// read is known.
func (o *output) whyNothing(q *reading.Query, unknown bool) []string {
	path, err := q.Locate()
	if err != nil {
		return nil // the query has failed with it
	}
	if path == "-" {
		return []string{"nothing found on standard input"}
	}
	why := []string{"nothing found in " + path}
	add := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	for _, u := range q.Unknown {
		add("%s", unknownConn(q, &u))
	}
	if o.t.damage.count > 0 {
		add("what is damaged may have had it")
	}
	c, err := q.Summary()
	if err != nil {
		add("its index cannot be read: %v", err)
		return why
	}
	f := &q.Options.Filter
	timed := !f.Since.IsZero() || !f.Until.IsZero()
	switch {
	case !c.Indexed:
		add("it has no index, so that nobody knows which windows were open, and what was lost")
		return why
	case c.All == 0:
		add("no window has been recorded there; \"tcpcopyctl record --for 10s\" records one now")
	case !c.Known:
		add("no window's id begins with %q%s", f.Window, askOr(c.Similar, "windows"))
		return why
	case c.Windows == 0 && timed && len(c.Ports) == 0 && (c.Before != nil || c.After != nil):
		add("no window was open %s%s", o.span(f.Since, f.Until), o.nearest(c.Before, c.After))
	case c.Windows == 0 && f.Port != "":
		if len(c.Ports) == 0 {
			add("nothing of port %s was recorded, nor of any other", f.Port)
		} else {
			add("nothing of port %s was recorded; the recorded ports are %s", f.Port, listed(c.Ports))
		}
	}
	if n := skippedWindows(c.Skipped); n > 0 && timed {
		last := &c.Skipped[len(c.Skipped)-1]
		add("%s did not open then, the last one because of: %s", plural(n, "window"), skipText(&last.Skip))
	}
	if c.Windows == 0 {
		return why
	}
	windows := fmt.Sprintf("%s from %s to %s", plural(c.Windows, "window"), o.moment(c.From), o.moment(c.To))
	if lost := c.Lost.In + c.Lost.Out; lost > 0 {
		add("%s of %s were lost (%s), of %s: what you look for may have been there", size(lost), size(c.Seen.In+c.Seen.Out), reasons(c.LostBy), windows)
	}
	if c.FilesAreOff > 0 {
		add("files of %s have been removed since", plural(c.FilesAreOff, "window"))
	}
	switch {
	case c.Lost.In+c.Lost.Out > 0 || c.FilesAreOff > 0 || o.t.damage.count > 0:
	case unknown:
		add("%s lost nothing, says the index", windows)
	default:
		add("%s lost nothing of what was to be recorded: it did not pass then", windows)
	}
	return why
}

// askOr asks whether one of similar was meant. Where there is none, it names the command that
// lists what there is.
func askOr(similar []string, command string) string {
	if len(similar) > 0 {
		return spelling.Ask(similar)
	}
	return fmt.Sprintf("; \"tcpcopyctl %s\" lists those that there are", command)
}

// skippedWindows returns how many windows did not open.
func skippedWindows(skips []layout.SkipLine) uint64 {
	var n uint64
	for i := range skips {
		n += skips[i].Windows
	}
	return n
}

// span returns a stretch of time that is wanted, for people.
func (o *output) span(from, to time.Time) string {
	switch {
	case to.IsZero():
		return "after " + o.moment(from)
	case from.IsZero():
		return "before " + o.moment(to)
	default:
		return "from " + o.moment(from) + " to " + o.moment(to)
	}
}

// nearest names the windows before and after a time without one. Each may be nil.
func (o *output) nearest(before, after *layout.WindowLine) string {
	var near []string
	if before != nil {
		near = append(near, fmt.Sprintf("the last one before, %s, closed %s", layout.WindowPrefix(before.Window), o.moment(before.Closed)))
	}
	if after != nil {
		near = append(near, fmt.Sprintf("the next one, %s, opened %s", layout.WindowPrefix(after.Window), o.moment(after.Opened)))
	}
	if len(near) == 0 {
		return ""
	}
	return "; " + strings.Join(near, ", and ")
}

// moment returns a time for people in a sentence, to the second, with its date unless that
// is today.
func (o *output) moment(at time.Time) string {
	d := days{zone: o.zone(), now: o.t.now()}
	if d.of(at) == d.of(d.now) {
		return o.time(at, time.TimeOnly)
	}
	return o.time(at, time.DateTime)
}

// due returns a time to come for people, and how long that is from now.
func (o *output) due(at time.Time) string {
	text := o.moment(at)
	if in := at.Sub(o.t.now()).Round(time.Second); in > 0 {
		text += ", in " + length(in)
	}
	return text
}

// maxListed is how many words a sentence lists.
const maxListed = 12

// listed returns words for a sentence.
func listed(words []string) string {
	if len(words) <= maxListed {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:maxListed], ", "), len(words)-maxListed)
}

// reasons returns the reasons of losses, in the order of their names.
func reasons(by map[string]uint64) string {
	var names []string
	for reason, n := range by {
		if n > 0 {
			names = append(names, printable(reason))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
