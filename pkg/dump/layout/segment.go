package layout

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// segmentTimeFormat is the form of a window's opening in a segment's name, in UTC.
const segmentTimeFormat = "20060102T150405Z"

// windowPrefix is how many characters of a window's id a segment's name has.
const windowPrefix = 8

// WindowPrefix returns the part of a window's id that stands in the names of its
// segments: its first eight characters.
func WindowPrefix(id string) string { return id[:min(len(id), windowPrefix)] }

// Segment is what the name of a segment says: a pcapng file that holds a part of
// what one process recorded in one window.
//
//	<opened>_<window>_<run>_<number>.pcapng
//	20240506T070809Z_5f3c9a52_k3v9qa_001.pcapng
type Segment struct {
	Opened time.Time // of the window, in whole seconds
	Window string    // the window's id; a parsed name has its WindowPrefix
	Run    string    // the process
	Number int       // among the segments of the window and process, from 1
}

// Set returns what the names of all segments of the window and process begin with.
func (s Segment) Set() string {
	return s.Opened.UTC().Format(segmentTimeFormat) + "_" + WindowPrefix(s.Window) + "_" + s.Run
}

// Name returns the segment's file name.
func (s Segment) Name() string {
	return fmt.Sprintf("%s_%03d%s", s.Set(), s.Number, SegmentExtension)
}

// ParseSegment returns what the name of a segment says; ok is false for every other
// name. Of a compressed segment it wants the name without GzipExtension.
func ParseSegment(name string) (s Segment, ok bool) {
	name, ok = strings.CutSuffix(name, SegmentExtension)
	parts := strings.Split(name, "_")
	if !ok || len(parts) != 4 || parts[1] == "" || parts[2] == "" || len(parts[3]) < 3 {
		return s, false
	}
	number, err := strconv.ParseUint(parts[3], 10, 31)
	if err != nil {
		return s, false
	}
	opened, err := time.Parse(segmentTimeFormat, parts[0])
	if err != nil {
		return s, false
	}
	return Segment{Opened: opened, Window: parts[1], Run: parts[2], Number: int(number)}, true
}
