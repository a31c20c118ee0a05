package cli

import (
	"fmt"
	"strconv"
	"strings"
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
		text := d.Round(time.Second).String()
		if short, ok := strings.CutSuffix(text, "m0s"); ok { // 3m0s is 3m, and 1h0m0s is 1h
			text = strings.TrimSuffix(short+"m", "h0m")
			if !strings.HasSuffix(text, "m") {
				text += "h"
			}
		}
		return text
	}
}

// The forms of times in tables.
const (
	dayAndTime = "2006-01-02 15:04:05.000"
	timeOnly   = "15:04:05.000000"
)

// plural returns n things, such as "1 gap" and "2 gaps".
func plural[N int | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
