package dump

import (
	"bytes"
	"cmp"
	"errors"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/record"
)

// sampleSize is how much of the beginning and of the end of a log is read to put it into
// its order, in bytes.
const sampleSize = 256 << 10

// sampledStreams is how many streams all samples remember together, and leastStreams how
// many each may remember in any case.
const (
	sampledStreams = 256 << 10
	leastStreams   = 64
)

// logSample is what a part of the flow log says of its place among the others.
type logSample struct {
	path    string
	size    int64
	start   string               // the first bytes of its content, startSize at most
	first   time.Time            // local time of its first line; zero where there is none
	offsets map[streamKey]uint64 // an offset that it has of each stream, of most streams where they are many
	windows []string             // of which it has lines
}

// startSize is how many bytes of two logs are not equal by chance: a line has that many.
const startSize = 64

// streamKey names a direction of a connection. Its offsets count in all windows.
type streamKey struct {
	conn string
	dir  record.Direction
}

// sort puts the files of the flow log into the order in which they were written, and
// leaves out copies. paths is their order by name. The names and the lines have local
// times, which repeat when daylight saving time ends and when the clock is set back.
// Offsets do not, nor does the index.
func (z *lineTimes) sort(paths []string) []string {
	if len(paths) == 0 {
		return nil
	}
	z.turnTo(paths[0])
	samples := make([]*logSample, len(paths))
	most := max(sampledStreams/len(paths), leastStreams)
	for i, path := range paths {
		samples[i] = z.sample(path, most)
	}
	samples = z.withoutCopies(samples)
	// The local times of the lines are nearer to the order than those in the names, which
	// may be a day apart. The log that has no archive's name is the last one.
	archives := samples
	if n := len(samples); filepath.Base(samples[n-1].path) == layout.FlowLog {
		archives = samples[:n-1]
	}
	for i := 1; i < len(archives); i++ {
		if archives[i].first.IsZero() {
			archives[i].first = archives[i-1].first
		}
	}
	sortByTime(archives)
	sorted := make([]string, 0, len(samples))
	for _, s := range inOrder(samples, z.after(samples)) {
		sorted = append(sorted, s.path)
	}
	return sorted
}

// sortByTime moves those that begin well before others in front of them. Where their
// first lines are as near to each other as lines of different workers can be, the order
// by name stays: the names of archives that were rotated in one second are in order. So
// are the numbers of logrotate always.
func sortByTime(archives []*logSample) {
	for i, s := range archives {
		j := i
		for j > 0 && archives[j-1].first.After(s.first.Add(slack)) && !(layout.InOrderByName(archives[j-1].path) && layout.InOrderByName(s.path)) {
			j--
		}
		copy(archives[j+1:i+1], archives[j:i])
		archives[j] = s
	}
}

// sample reads the beginning and the end of a file, and remembers the offsets of most
// streams at most. What cannot be read is reported when all of it is read.
func (z *lineTimes) sample(path string, most int) *logSample {
	s := &logSample{path: path, offsets: map[streamKey]uint64{}}
	f, err := openFile(path, new(atomic.Int64))
	if err != nil {
		return s
	}
	defer f.f.Close()
	info, err := f.f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return s
	}
	s.size = info.Size()
	content, _, err := sniff(f)
	if err != nil {
		return s
	}
	head, _ := io.ReadAll(io.LimitReader(content, sampleSize))
	s.start = string(head[:min(len(head), startSize)])
	z.learn(s, head)
	if layout.TrimGzip(path) == path && s.size > sampleSize {
		tail := make([]byte, sampleSize)
		n, err := f.f.ReadAt(tail, s.size-sampleSize)
		if _, lines, whole := bytes.Cut(tail[:n], []byte("\n")); whole && (err == nil || errors.Is(err, io.EOF)) {
			z.learn(s, lines)
		}
	}
	s.forget(most)
	return s
}

// forget keeps the offsets of that many streams. All samples keep the same streams, if
// they have them.
func (s *logSample) forget(most int) {
	if len(s.offsets) <= most {
		return
	}
	hash := func(key streamKey) uint32 {
		h := fnv.New32a()
		h.Write([]byte(key.conn))
		return h.Sum32()
	}
	keys := slices.SortedFunc(maps.Keys(s.offsets), func(a, b streamKey) int {
		return cmp.Or(cmp.Compare(hash(a), hash(b)), cmp.Compare(a.conn, b.conn), cmp.Compare(a.dir, b.dir))
	})
	kept := make(map[streamKey]uint64, most)
	for _, key := range keys[:most] {
		kept[key] = s.offsets[key]
	}
	s.offsets = kept
}

// learn adds what lines say.
func (z *lineTimes) learn(s *logSample, lines []byte) {
	d := hexlog.NewDecoder(hexlog.InZone{Zone: time.UTC})
	d.Reset(bytes.NewReader(lines), s.path)
	for {
		r, err := d.Next()
		var damage *record.DamageError
		if errors.As(err, &damage) {
			continue
		}
		if err != nil {
			return
		}
		if s.first.IsZero() {
			s.first = r.Time
		}
		walls, known := z.sampled[r.Window]
		if !known || r.Time.Before(walls[0]) {
			walls[0] = r.Time
		}
		if !known || r.Time.After(walls[1]) {
			walls[1] = r.Time
		}
		if _, indexed := z.windows[r.Window]; indexed {
			z.sampled[r.Window] = walls
		}
		if n := len(s.windows); n == 0 || s.windows[n-1] != r.Window {
			s.windows = append(s.windows, r.Window)
		}
		if !r.Legacy && (r.Kind == record.KindData || r.Kind == record.KindGap) {
			key := streamKey{r.Conn, r.Direction}
			if _, known := s.offsets[key]; !known {
				s.offsets[key] = r.Offset
			}
		}
	}
}

// withoutCopies leaves out a file whose beginning is that of another one, which has more:
// what a copy has left behind.
func (z *lineTimes) withoutCopies(samples []*logSample) []*logSample {
	alike := map[string][]*logSample{} // by their start
	copies := map[*logSample]bool{}
	for _, b := range samples {
		if len(b.start) < startSize {
			continue
		}
		for _, a := range alike[b.start] {
			if copies[a] || copies[b] {
				continue
			}
			headA, headB := headOf(a.path), headOf(b.path)
			n := min(len(headA), len(headB))
			if n < startSize || !bytes.Equal(headA[:n], headB[:n]) {
				continue
			}
			shorter, other := a, b
			if c := cmp.Compare(len(headA), len(headB)); c > 0 || c == 0 && a.size > b.size {
				shorter, other = b, a
			}
			if info, err := os.Stat(shorter.path); err == nil && info.Size() != other.size && n == sampleSize && layout.TrimGzip(shorter.path) != layout.TrimGzip(other.path) &&
				(layout.TrimGzip(shorter.path) != shorter.path || layout.TrimGzip(other.path) != other.path) {
				continue // compressed, so that it is not known which one is longer
			}
			copies[shorter] = true
			z.options.remark("%s is a copy of %s and is left out", shorter.path, other.path)
		}
		alike[b.start] = append(alike[b.start], b)
	}
	return slices.DeleteFunc(slices.Clone(samples), func(s *logSample) bool { return copies[s] })
}

// headOf returns the first bytes of a file's content.
func headOf(path string) []byte {
	f, err := openFile(path, new(atomic.Int64))
	if err != nil {
		return nil
	}
	defer f.f.Close()
	content, _, err := sniff(f)
	if err != nil {
		return nil
	}
	head, _ := io.ReadAll(io.LimitReader(content, sampleSize))
	return head
}

// after returns which files come after which for certain.
func (z *lineTimes) after(samples []*logSample) map[*logSample][]*logSample {
	after := map[*logSample][]*logSample{}
	type part struct {
		of     *logSample
		offset uint64
	}
	streams := map[streamKey][]part{}
	for _, s := range samples {
		for key, offset := range s.offsets {
			streams[key] = append(streams[key], part{s, offset})
		}
	}
	for _, parts := range streams {
		slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.offset, b.offset) })
		for i := 1; i < len(parts); i++ {
			if parts[i].offset > parts[i-1].offset {
				after[parts[i-1].of] = append(after[parts[i-1].of], parts[i].of)
			}
		}
	}
	// By the time of the rotation, which the recorder gives an archive as its name and at
	// which the next file begins, where only one does.
	type rotated struct{ archive, next *logSample }
	var rotations []rotated
	nexts := map[*logSample]int{}
	begin := slices.DeleteFunc(slices.Clone(samples), func(s *logSample) bool { return s.first.IsZero() })
	slices.SortStableFunc(begin, func(a, b *logSample) int { return a.first.Compare(b.first) })
	for _, a := range samples {
		at, ok := layout.ParseArchive(filepath.Base(layout.TrimGzip(a.path)), layout.FlowLog)
		if !ok {
			continue
		}
		year, month, day := at.Date()
		wall := time.Date(year, month, day, at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), time.UTC)
		i := sort.Search(len(begin), func(i int) bool { return !begin[i].first.Before(wall.Add(-slack)) })
		j := i
		for j < len(begin) && j < i+2 && !begin[j].first.After(wall.Add(slack)) {
			j++
		}
		if j == i+1 && begin[i] != a {
			rotations = append(rotations, rotated{a, begin[i]})
			nexts[begin[i]]++
		}
	}
	for _, r := range rotations {
		if nexts[r.next] == 1 {
			after[r.archive] = append(after[r.archive], r.next)
		}
	}
	// By the index, where the windows of two files do not overlap.
	type span struct {
		of *logSample
		windowSpan
	}
	var spans []span
	for _, s := range samples {
		all := span{of: s}
		for i, id := range s.windows {
			w, known := z.windows[id]
			if !known {
				all.of = nil
				break
			}
			if i == 0 || w.opened.Before(all.opened) {
				all.opened = w.opened
			}
			if i == 0 || w.closed.After(all.closed) {
				all.closed = w.closed
			}
		}
		if all.of != nil && len(s.windows) > 0 {
			spans = append(spans, all)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.opened.Compare(b.opened) })
	for i := 1; i < len(spans); i++ {
		if a, b := spans[i-1], spans[i]; !a.closed.After(b.opened) {
			after[a.of] = append(after[a.of], b.of)
		}
	}
	return after
}

// inOrder returns samples so that each comes after those that it is after, and otherwise
// in their order. Where that cannot be, it keeps their order.
func inOrder(samples []*logSample, after map[*logSample][]*logSample) (sorted []*logSample) {
	before := map[*logSample]int{} // how many of those that come before are not in sorted
	for _, later := range after {
		for _, s := range later {
			before[s]++
		}
	}
	for rest := slices.Clone(samples); len(rest) > 0; {
		i := max(slices.IndexFunc(rest, func(s *logSample) bool { return before[s] == 0 }), 0)
		s := rest[i]
		rest = slices.Delete(rest, i, i+1)
		sorted = append(sorted, s)
		for _, later := range after[s] {
			before[later]--
		}
	}
	return sorted
}
