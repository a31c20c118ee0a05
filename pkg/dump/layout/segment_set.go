package layout

import (
	"slices"
	"strings"
	"time"
)

// SegmentSet is the segments of one window of one process that a directory holds.
type SegmentSet struct {
	Name     string // what the names of its segments begin with, see Segment.Set
	Window   string // the WindowPrefix of the window's id
	Run      string // the process
	Opened   time.Time
	Segments []SegmentFile // at least one, by number
}

// SegmentFile is one file of a SegmentSet.
type SegmentFile struct {
	Path   string
	Number int
}

// Whole reports whether no segment is missing before the last one.
func (s *SegmentSet) Whole() bool {
	return s.Segments[0].Number == 1 && s.Segments[len(s.Segments)-1].Number == len(s.Segments)
}

// maxMissing bounds the names that Missing returns, whatever a name contains.
const maxMissing = 100

// Missing returns the names of the segments that are not there although later ones
// are; of a long run of them it returns the first ones.
func (s *SegmentSet) Missing() []string {
	var names []string
	want := 1
	for _, f := range s.Segments {
		for ; want < f.Number && len(names) < maxMissing; want++ {
			names = append(names, Segment{Opened: s.Opened, Window: s.Window, Run: s.Run, Number: want}.Name())
		}
		want = f.Number + 1
	}
	return names
}

// addSegment adds the file at path to its set.
func addSegment(sets map[string]*SegmentSet, s Segment, path string) {
	name := s.Set()
	set := sets[name]
	if set == nil {
		set = &SegmentSet{Name: name, Window: s.Window, Run: s.Run, Opened: s.Opened}
		sets[name] = set
	}
	set.Segments = append(set.Segments, SegmentFile{Path: path, Number: s.Number})
}

// sort puts the segments in their order and keeps one of the two forms, which are
// equal, that a file has while it is being compressed.
func (s *SegmentSet) sort() {
	slices.SortFunc(s.Segments, func(a, b SegmentFile) int {
		if a.Number != b.Number {
			return a.Number - b.Number
		}
		return strings.Compare(a.Path, b.Path)
	})
	s.Segments = slices.CompactFunc(s.Segments, func(a, b SegmentFile) bool { return a.Number == b.Number })
}
