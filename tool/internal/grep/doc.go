// Package grep finds a pattern in the joined streams of a dump, wherever its records
// begin and end. A Pattern says what is looked for, a Search goes through the records.
// The commands of the tool call it; it prints nothing.
//
// Matches do not overlap and are not empty. Each is the leftmost one after the one before
// it, and of several that begin there the one that the expression prefers, as in Perl. No
// match goes over a gap. So the matches of a stream are the same however it was cut into
// records.
package grep
