package replay

import "bytes"

// Bounds of the work that comparing two answers word by word may take; beyond
// them all between the first and the last difference is one change.
const (
	maxDiffBytes = 256 << 10
	maxDiffEdits = 1000
)

// change says that a[aFrom:aTo] became b[bFrom:bTo].
type change struct {
	aFrom, aTo int
	bFrom, bTo int
}

// diff returns the words in which b differs from a, in order. A word is a run of
// letters, digits and what stands in numbers, times and identifiers; any other
// byte is one by itself.
func diff(a, b []byte) []change {
	prefix := 0
	for prefix < min(len(a), len(b)) && a[prefix] == b[prefix] {
		prefix++
	}
	for prefix > 0 && (within(a, prefix) || within(b, prefix)) {
		prefix--
	}
	suffix := 0
	for suffix < min(len(a), len(b))-prefix && a[len(a)-1-suffix] == b[len(b)-1-suffix] {
		suffix++
	}
	for suffix > 0 && (within(a, len(a)-suffix) || within(b, len(b)-suffix)) {
		suffix--
	}
	a, b = a[prefix:len(a)-suffix], b[prefix:len(b)-suffix]
	if len(a) == 0 && len(b) == 0 {
		return nil
	}
	whole := []change{{prefix, prefix + len(a), prefix, prefix + len(b)}}
	if max(len(a), len(b)) > maxDiffBytes {
		return whole
	}
	wordsA, wordsB := words(a), words(b)
	edits, ok := shortestEdit(len(wordsA), len(wordsB), func(i, j int) bool {
		return bytes.Equal(a[wordsA[i].from:wordsA[i].to], b[wordsB[j].from:wordsB[j].to])
	})
	if !ok {
		return whole
	}
	changes := make([]change, 0, len(edits))
	for _, e := range edits {
		c := change{
			aFrom: prefix + wordStart(wordsA, e.aFrom, len(a)), aTo: prefix + wordStart(wordsA, e.aTo, len(a)),
			bFrom: prefix + wordStart(wordsB, e.bFrom, len(b)), bTo: prefix + wordStart(wordsB, e.bTo, len(b)),
		}
		changes = append(changes, c)
	}
	return joinBinary(changes, a, prefix)
}

// span is a part of an answer, in bytes.
type span struct{ from, to int }

// inWord reports whether a byte makes a word with its neighbours.
func inWord(c byte) bool {
	switch {
	case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return true
	}
	return bytes.IndexByte([]byte("_.:+-/=%"), c) >= 0
}

// within reports whether b[at] is in a word that began before it.
func within(b []byte, at int) bool {
	return at > 0 && at < len(b) && inWord(b[at-1]) && inWord(b[at])
}

func words(b []byte) []span {
	var all []span
	for at := 0; at < len(b); {
		from := at
		at++
		for inWord(b[from]) && at < len(b) && inWord(b[at]) {
			at++
		}
		all = append(all, span{from, at})
	}
	return all
}

// wordStart returns where word i begins, of a text of n bytes.
func wordStart(words []span, i, n int) int {
	if i == len(words) {
		return n
	}
	return words[i].from
}

// joinBinary joins changes between which only a few bytes that are not text are
// equal: in two random numbers some bytes are, by chance.
func joinBinary(changes []change, a []byte, prefix int) []change {
	const few = 3
	joined := changes[:0]
	for _, c := range changes {
		if n := len(joined); n > 0 {
			last := &joined[n-1]
			between := a[last.aTo-prefix : c.aFrom-prefix]
			if len(between) <= few && !isText(between) {
				last.aTo, last.bTo = c.aTo, c.bTo
				continue
			}
		}
		joined = append(joined, c)
	}
	return joined
}

// isText reports whether all of b is printable ASCII or white space.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// shortestEdit finds the fewest removals and insertions that turn n elements into
// m others (Myers 1986, the greedy algorithm), as changes in elements. It gives
// up where there are too many.
func shortestEdit(n, m int, equal func(i, j int) bool) ([]change, bool) {
	limit := min(n+m, maxDiffEdits)
	// reach[limit+k] is how far in a the best path on diagonal k has come; trace
	// keeps it as it was before each step.
	reach := make([]int, 2*limit+2)
	var trace [][]int
	for d := 0; d <= limit; d++ {
		trace = append(trace, append([]int(nil), reach[limit-d:limit+d+1]...))
		for k := -d; k <= d; k += 2 {
			var x int
			if k == -d || k != d && reach[limit+k-1] < reach[limit+k+1] {
				x = reach[limit+k+1]
			} else {
				x = reach[limit+k-1] + 1
			}
			y := x - k
			for x < n && y < m && equal(x, y) {
				x++
				y++
			}
			reach[limit+k] = x
			if x >= n && y >= m {
				return pathBack(trace, n, m), true
			}
		}
	}
	return nil, false
}

// pathBack reads the changes out of a trace, from the end to the start.
func pathBack(trace [][]int, x, y int) []change {
	var changes []change
	for d := len(trace) - 1; d > 0; d-- {
		before := func(k int) int {
			// trace[d] is of the diagonals -d … d.
			if k < -d || k > d {
				return -1
			}
			return trace[d][k+d]
		}
		k := x - y
		down := k == -d || k != d && before(k-1) < before(k+1)
		from := before(k-1) + 1
		if down {
			from = before(k + 1)
		}
		// The elements from from on are equal; before them one was inserted or
		// removed.
		c := change{aFrom: from - 1, aTo: from, bFrom: from - k, bTo: from - k}
		if down {
			c = change{aFrom: from, aTo: from, bFrom: from - k - 1, bTo: from - k}
		}
		if n := len(changes); n > 0 && changes[n-1].aFrom == c.aTo && changes[n-1].bFrom == c.bTo {
			changes[n-1].aFrom, changes[n-1].bFrom = c.aFrom, c.bFrom
		} else {
			changes = append(changes, c)
		}
		x, y = c.aFrom, c.bFrom
	}
	for i, j := 0, len(changes)-1; i < j; i, j = i+1, j-1 {
		changes[i], changes[j] = changes[j], changes[i]
	}
	return changes
}
