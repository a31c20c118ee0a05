package cli

import "time"

// recentDays is how long ago a date is still known by its month and day, in days.
const recentDays = 300

// days decides which times of a table need their date: those of today do not, and none
// does where all rows are of one day.
type days struct {
	zone   *time.Location
	now    time.Time
	first  string // the day of the first time that was added; empty before it
	shared bool   // all times that were added are of first
}

// days returns what decides on the dates of a table's times.
func (o *output) days() days {
	return days{zone: o.zone(), now: o.t.now(), shared: true}
}

// add has a time be one of the table's. The zero time is none.
func (d *days) add(at time.Time) {
	if at.IsZero() {
		return
	}
	day := d.of(at)
	if d.first == "" {
		d.first = day
	}
	d.shared = d.shared && day == d.first
}

func (d *days) of(at time.Time) string { return at.In(d.zone).Format(time.DateOnly) }

// heading returns the date that all times have, for the heading of their column; it is
// empty where there is none, and where it is today.
func (d *days) heading() string {
	if !d.shared || d.first == "" || d.first == d.of(d.now) {
		return ""
	}
	return d.first
}

// text returns a time for people, with its date where that is neither today nor shared by
// all, or where whole is set. clock is the layout of the time of day.
func (d *days) text(at time.Time, clock string, whole bool) string {
	if at.IsZero() {
		return "-"
	}
	day, local := d.of(at), at.In(d.zone)
	switch {
	case whole:
		return local.Format(dayAndTime)
	case d.shared && day == d.first, !(d.shared && d.first != "") && day == d.of(d.now):
		return local.Format(clock)
	case at.Before(d.now) && d.now.Sub(at) < recentDays*24*time.Hour:
		return local.Format("01-02 " + clock)
	default:
		return local.Format(time.DateOnly + " " + clock)
	}
}
