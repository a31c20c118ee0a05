package layout

import (
	"bytes"
	"encoding/json"

	"mosn.io/tcpcopy/pkg/record"
)

// SkipLine is a line of the index that is about no window: one or more windows in a row
// that did not open. It has no field "window", so that a reader which does not know it
// cannot mistake it for a window without traffic.
type SkipLine struct {
	record.Skip
	Run string `json:"run"`
}

// AppendJSON appends l as a line of the index, with its times in UTC, and returns the
// extended slice.
func (l *SkipLine) AppendJSON(dst []byte) []byte {
	utc := *l
	utc.First, utc.Last = l.First.UTC(), l.Last.UTC()
	return appendLine(dst, &utc)
}

// isSkip reports whether a line of the index is a SkipLine.
func isSkip(text []byte) bool {
	_, ok := parseSkip(text)
	return ok
}

func parseSkip(text []byte) (SkipLine, bool) {
	if !bytes.Contains(text, []byte(`"skipped"`)) {
		return SkipLine{}, false
	}
	var line struct {
		SkipLine
		Window string `json:"window"`
	}
	err := json.Unmarshal(text, &line)
	return line.SkipLine, err == nil && line.Reason != "" && line.Window == ""
}

// ReadSkips returns the lines of skipped windows of the index at path, in their order. It
// passes over all others, also those that cannot be read: EachWindow reports them.
func ReadSkips(path string) ([]SkipLine, error) {
	var lines []SkipLine
	err := eachIndexLine(path, func(text []byte) error {
		if l, ok := parseSkip(text); ok {
			lines = append(lines, l)
		}
		return nil
	})
	return lines, err
}
