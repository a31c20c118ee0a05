// Package blockfile appends to a file past the page cache, where the file system
// allows direct I/O. The cache costs several times the processor time of the disk
// transfer, and nobody reads the pages soon. The package logdir writes batches of
// records with it; it knows neither their formats nor who limits the disk.
//
// # The invariant
//
// What is appended between two commits is one chunk. A chunk is in the file
// entirely or not at all: after Commit has returned nil the file has all of it, and
// Rollback makes the file end where it ended at the last commit. Room, Put and
// AppendZeroCopy may write parts of a chunk before its commit. A process that is
// killed meanwhile leaves them behind; the next one cuts them off with Truncate, if
// it knows the size at the last commit.
//
// # The two ways in
//
// Room returns memory to encode into, and Put appends what has been encoded there.
// AppendZeroCopy appends a block from where it lies, which for a long run of
// adjoining blocks costs no copy. Padding blocks align such a run, so only formats
// that have padding blocks can use it.
package blockfile
