// Package spelling finds what a mistyped word was meant to be. Commands use it for the
// names of commands and flags, for windows, connections and fields.
package spelling

import (
	"slices"
	"strings"
)

// maxClosest is how many words Closest returns at most.
const maxClosest = 3

// maxLength bounds the words that are compared, bytes.
const maxLength = 64

// Closest returns those of known that word was probably meant to be: up to three that are
// equally close, in their order. The result is empty where nothing is close.
func Closest(word string, known []string) []string {
	if word == "" || len(word) > maxLength {
		return nil
	}
	type candidate struct {
		word     string
		distance int
	}
	var all []candidate
	for _, k := range known {
		if k == word || len(k) > maxLength {
			continue
		}
		d := distance(strings.ToLower(word), strings.ToLower(k))
		switch {
		case d <= allowed(word):
		case len(word) > 1 && strings.HasPrefix(k, word): // it is not finished
			d = allowed(word)
		default:
			continue
		}
		all = append(all, candidate{k, d})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return a.distance - b.distance })
	var closest []string
	for _, c := range all {
		if c.distance == all[0].distance && len(closest) < maxClosest && !slices.Contains(closest, c.word) {
			closest = append(closest, c.word)
		}
	}
	return closest
}

// allowed returns how many mistakes a word may have.
func allowed(word string) int {
	switch n := len(word); {
	case n <= 2:
		return 0
	case n <= 4:
		return 1
	default:
		return 2
	}
}

// Ask returns a part of a sentence that asks whether one of words was meant, such as
// `; did you mean "conns"?`. It is empty without words.
func Ask(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return `; did you mean "` + strings.Join(words, `" or "`) + `"?`
}

// distance returns how many characters have to be inserted, removed, replaced or swapped
// with their neighbour to make b of a (the optimal string alignment).
func distance(a, b string) int {
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}
