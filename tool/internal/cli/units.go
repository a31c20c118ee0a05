package cli

import (
	"fmt"
	"strconv"
	"time"
)

// size returns n bytes for people.
func size(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, unit := float64(n), -1
	for value >= 1024 && unit < len("KMGTPE")-1 {
		value /= 1024
		unit++
	}
	if value >= 100 {
		return fmt.Sprintf("%.0f %ciB", value, "KMGTPE"[unit])
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[unit])
}

// length returns a stretch of time for people.
func length(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// The forms of times in tables.
const (
	dayAndTime = "2006-01-02 15:04:05.000"
	timeOnly   = "15:04:05.000000"
)

// parseTime reads a time as people give it: RFC 3339, a local day and time of
// day or a part of them, or how long before now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q, valid: 2006-01-02T15:04:05Z, 2006-01-02 15:04:05, 15:04:05, or 10m for ten minutes ago", text)
}
