package reading

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// validTimes are the forms of a time, for errors.
const validTimes = "2006-01-02 15:04:05, 15:04, today, yesterday, or 10m, 2h or 1d for so long ago"

// ParseTimes reads from when on and until when records are wanted; an empty text is no
// bound. An end that is a time of day follows the beginning. The error names the flags.
func ParseTimes(since, until string, now time.Time) (from, to time.Time, err error) {
	var errs []error
	if since != "" {
		if from, err = ParseTime(since, now); err != nil {
			errs = append(errs, fmt.Errorf("--since is %w", err))
		}
	}
	if until != "" {
		if to, err = ParseTime(until, now); err != nil {
			errs = append(errs, fmt.Errorf("--until is %w", err))
		}
	}
	if len(errs) > 0 {
		return from, to, errors.Join(errs...)
	}
	if since == "" || until == "" || to.After(from) {
		return from, to, nil
	}
	if _, ok := timeOfDay(until); ok { // the one after the beginning, which may be to come
		if next := to.AddDate(0, 0, 1); next.After(from) {
			return from, next, nil
		}
	}
	return from, to, fmt.Errorf("--until is %q, which is not after --since %q: %s and %s", until, since, to.Format(time.DateTime), from.Format(time.DateTime))
}

// ParseTime reads a time as people give it: RFC 3339, a day and a time of day or a
// part of them in the zone of now, or how long before now. A time of day is the last
// one that has passed, and a day its beginning. The error begins with the faulty value.
func ParseTime(text string, now time.Time) (time.Time, error) {
	y, m, d := now.Date()
	switch text {
	case "now":
		return now, nil
	case "today":
		return time.Date(y, m, d, 0, 0, 0, 0, now.Location()), nil
	case "yesterday":
		return time.Date(y, m, d-1, 0, 0, 0, 0, now.Location()), nil
	}
	if at, ok := parseAgo(text, now); ok {
		return at, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if t, ok := timeOfDay(text); ok {
		at := time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location())
		if at.After(now) {
			at = time.Date(y, m, d-1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location())
		}
		return at, nil
	}
	return time.Time{}, fmt.Errorf("%q, valid: %s", text, validTimes)
}

// timeOfDay reads hours and minutes, and perhaps seconds.
func timeOfDay(text string) (time.Time, bool) {
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// maxDaysAgo bounds how long ago a time may be, days.
const maxDaysAgo = 100 * 366

// parseAgo reads how long before now a time is: a duration, which may begin with weeks and
// days, such as 1d or 1d12h. A day ago is at the same time of the day before.
func parseAgo(text string, now time.Time) (time.Time, bool) {
	days, rest := 0, text
	for _, unit := range []struct {
		letter byte
		days   int
	}{{'w', 7}, {'d', 1}} {
		digits := 0
		for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(rest) || rest[digits] != unit.letter {
			continue
		}
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n > maxDaysAgo {
			return time.Time{}, false
		}
		days += n * unit.days
		rest = rest[digits+1:]
	}
	at := now.AddDate(0, 0, -days)
	if rest == "" {
		return at, text != ""
	}
	ago, err := time.ParseDuration(rest)
	if err != nil || ago < 0 || rest[0] == '+' {
		return time.Time{}, false
	}
	return at.Add(-ago), true
}
