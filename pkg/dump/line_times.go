package dump

import (
	"path/filepath"
	"slices"
	"time"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// lineTimes finds the instants of hex lines, which have a local time and no zone. It
// gets the zone's offset from the index, which has the opening and closing of each window
// in UTC: an offset is possible where it puts a line into its window. Where several are,
// or the index does not have the window, it prefers the offset of the lines before, or
// the reader's zone.
//
// It belongs to the goroutine that reads the lines, which come in order.
type lineTimes struct {
	options    *Options
	zones, any []time.Duration // offsets that are likely, and that can be

	dir     string                // of which windows are known
	windows map[string]windowSpan // by id

	window  string // of the last line
	span    windowSpan
	indexed bool         // span is known
	walls   [2]time.Time // the first and the last local time that sampling has found for the window; zero where it has none
	sampled map[string][2]time.Time

	wall     time.Time     // of the last line, in whole seconds
	offset   time.Duration // of the last line
	last     time.Time     // instant of the last line; zero before the first
	sure     bool          // the index has confirmed an offset
	narrowed bool          // others were possible for the last line, but not for all of its window
	changes  bool          // no offset is possible for all of the window
	assumed  bool          // the offset of a line since the last confirmation was one of several
	chosen   bool          // the last line is of the same window

	unindexed, ambiguous, outside bool // was remarked on
}

var _ hexlog.Times = (*lineTimes)(nil)

// windowSpan is when a window was open.
type windowSpan struct{ opened, closed time.Time }

// The offsets of all zones from UTC lie between these two.
const (
	leastOffset = -12 * time.Hour
	mostOffset  = 14 * time.Hour
)

// oddOffsets are those of zones that are not whole hours, in minutes. Some are of the
// years before 2020.
var oddOffsets = [...]int{-570, -270, -210, -150, 210, 270, 330, 345, 390, 510, 525, 570, 630, 765, 825}

// offsetsOfZones returns the offsets that zones have, in ascending order.
func offsetsOfZones() (offsets []time.Duration) {
	for o := leastOffset; o <= mostOffset; o += time.Hour {
		offsets = append(offsets, o)
	}
	for _, minutes := range oddOffsets {
		offsets = append(offsets, time.Duration(minutes)*time.Minute)
	}
	slices.Sort(offsets)
	return offsets
}

// offsetsOfAny returns the offsets that somebody may set.
func offsetsOfAny() (offsets []time.Duration) {
	for o := leastOffset; o <= mostOffset; o += 15 * time.Minute {
		offsets = append(offsets, o)
	}
	return offsets
}

// slack is how far a line may be outside of its window, or before the line that precedes
// it: workers write at the same time.
const slack = 5 * time.Second

func newLineTimes(o *Options) *lineTimes {
	return &lineTimes{options: o, zones: offsetsOfZones(), any: offsetsOfAny(), sampled: map[string][2]time.Time{}}
}

// turnTo says from which file the next lines come.
func (z *lineTimes) turnTo(path string) {
	dir := filepath.Dir(path)
	if path == "-" || dir == z.dir {
		return
	}
	z.dir, z.windows, z.window = dir, map[string]windowSpan{}, ""
	// Its damage is for those who list windows.
	lines, _ := layout.ReadIndex(filepath.Join(dir, layout.Index))
	for _, w := range lines {
		span, known := z.windows[w.Window]
		if !known || w.Opened.Before(span.opened) {
			span.opened = w.Opened
		}
		if !known || w.Closed.After(span.closed) {
			span.closed = w.Closed
		}
		z.windows[w.Window] = span
	}
}

// Instant implements hexlog.Times.
func (z *lineTimes) Instant(window []byte, wall time.Time) time.Time {
	second := wall.Truncate(time.Second)
	if string(window) != z.window {
		z.window = string(window)
		z.span, z.indexed = z.windows[z.window]
		z.walls = z.sampled[z.window]
		z.wall, z.chosen = time.Time{}, false
	}
	if z.last.IsZero() || !second.Equal(z.wall) {
		z.wall = second
		z.offset = z.choose(second)
	}
	z.last = wall.Add(-z.offset)
	return z.last
}

// choose returns the offset of a line with that local time.
func (z *lineTimes) choose(wall time.Time) time.Duration {
	zone := z.options.zone()
	ofZone := offsetsIn(zone, wall)
	possible := z.possible(wall)
	switch len(possible) {
	case 0:
		return z.guess(wall, ofZone)
	case 1:
		// It was the same in this window before, or so it seemed, or the lines go back.
		differs := possible[0] != z.offset && (z.assumed || z.narrowed && z.sure)
		if differs || z.chosen && z.isBack(wall, possible[0]) {
			z.remarkChange()
		}
		z.sure, z.assumed, z.chosen = true, false, true
		return possible[0]
	}
	if !z.sure && !z.ambiguous {
		z.ambiguous = true
		z.options.remark("the index does not say for certain in which zone the times of window %s are: they may be hours wrong", z.window)
	}
	if z.sure || z.chosen {
		if z.follows(zone) { // then its rules say when the offset changes
			if o, ok := z.next(wall, intersect(ofZone, possible)); ok {
				return o
			}
		}
		if slices.Contains(possible, z.offset) && !z.isBack(wall, z.offset) {
			z.assumed = true
			if z.changes {
				z.remarkChange()
			}
			return z.offset
		}
		if o, ok := z.next(wall, possible); ok {
			return o
		}
	}
	z.chosen = true
	if o, ok := z.next(wall, intersect(ofZone, possible)); ok {
		return o
	}
	return possible[len(possible)-1] // the one that puts the line nearest to the opening
}

// remarkChange says that the offset has changed at a time that is not known, as where
// daylight saving time begins.
func (z *lineTimes) remarkChange() {
	if !z.ambiguous {
		z.ambiguous = true
		z.options.remark("the offset of the times changes in window %s or near it, and the index does not say when: some of them may be an hour wrong", z.window)
	}
}

// possible returns the offsets that put a line into its window, in ascending order.
func (z *lineTimes) possible(wall time.Time) (offsets []time.Duration) {
	if !z.indexed {
		return nil
	}
	inside := func(wall time.Time, offset time.Duration) bool {
		t := wall.Add(-offset)
		return !t.Before(z.span.opened.Add(-slack)) && !t.After(z.span.closed.Add(slack))
	}
	for _, all := range [][]time.Duration{z.zones, z.any} {
		for _, o := range all {
			if inside(wall, o) {
				offsets = append(offsets, o)
			}
		}
		if len(offsets) > 0 {
			break
		}
	}
	// One offset that fits all of a long window is more likely than one that changes.
	var all []time.Duration
	for _, o := range offsets {
		if !z.walls[0].IsZero() && inside(z.walls[0], o) && inside(z.walls[1], o) {
			all = append(all, o)
		}
	}
	z.changes = len(all) == 0 && len(offsets) > 1 && !z.walls[0].IsZero()
	z.narrowed = len(all) > 0 && len(all) < len(offsets)
	if len(all) == 0 {
		return offsets
	}
	// So is the reader's zone, if its rules fit.
	zone := z.options.zone()
	fits := func(wall time.Time) bool {
		return slices.ContainsFunc(offsetsIn(zone, wall), func(o time.Duration) bool { return inside(wall, o) })
	}
	if fits(z.walls[0]) && fits(z.walls[1]) {
		for _, o := range intersect(offsetsIn(zone, wall), offsets) {
			if !slices.Contains(all, o) {
				all = append(all, o)
			}
		}
		slices.Sort(all)
	}
	return all
}

// guess returns the offset of a line of which the index says nothing, or nothing that can
// be.
func (z *lineTimes) guess(wall time.Time, ofZone []time.Duration) time.Duration {
	zone := z.options.zone()
	likeBefore := z.sure && !z.follows(zone)
	as := "in the local zone"
	if z.options.Zone != nil {
		as = "in the zone " + zone.String()
	}
	if likeBefore {
		as = "as those of the windows before"
	}
	switch {
	case z.indexed && !z.outside:
		z.outside = true
		z.options.remark("the times of window %s are not those of the index in any zone: they are read %s", z.window, as)
	case !z.indexed && !z.unindexed && z.options.Wait == nil: // what is followed is written now
		z.unindexed = true
		z.options.remark("the index does not have window %s, so that the zone of its times is not known: they are read %s", z.window, as)
	}
	if likeBefore {
		return z.offset
	}
	if o, ok := z.next(wall, ofZone); ok {
		return o
	}
	return ofZone[len(ofZone)-1]
}

// follows reports whether the last line's offset is that of a zone.
func (z *lineTimes) follows(zone *time.Location) bool {
	_, seconds := z.last.In(zone).Zone()
	return time.Duration(seconds)*time.Second == z.offset
}

// next returns the offset with which a line comes soonest after the one before.
func (z *lineTimes) next(wall time.Time, offsets []time.Duration) (best time.Duration, ok bool) {
	for _, o := range offsets {
		if z.isBack(wall, o) {
			continue
		}
		if !ok || o > best {
			best, ok = o, true
		}
	}
	return best, ok
}

// isBack reports whether an offset puts a line well before the one that precedes it.
func (z *lineTimes) isBack(wall time.Time, offset time.Duration) bool {
	return !z.last.IsZero() && wall.Add(-offset).Before(z.last.Add(-time.Minute))
}

// offsetsIn returns the offsets that a zone has at a local time: two in the hour that is
// repeated, otherwise one. In the hour that is left out it is the one before.
func offsetsIn(zone *time.Location, wall time.Time) (offsets []time.Duration) {
	for _, around := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, seconds := wall.Add(around).In(zone).Zone()
		o := time.Duration(seconds) * time.Second
		if _, seconds := wall.Add(-o).In(zone).Zone(); time.Duration(seconds)*time.Second == o && !slices.Contains(offsets, o) {
			offsets = append(offsets, o)
		}
	}
	if len(offsets) == 0 {
		_, seconds := wall.Add(-26 * time.Hour).In(zone).Zone()
		offsets = append(offsets, time.Duration(seconds)*time.Second)
	}
	return offsets
}

// intersect returns what is in both.
func intersect(a, b []time.Duration) (both []time.Duration) {
	for _, o := range a {
		if slices.Contains(b, o) {
			both = append(both, o)
		}
	}
	return both
}
