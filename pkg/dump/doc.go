// Package dump reads the files that the recorder writes. Open finds those of a
// directory, decodes them and returns their records in order of time. Streams joins
// records to whole streams with their gaps. An Exporter writes records as one pcapng
// file, and Windows rebuilds an index from them. The command-line tool and the
// replayer call it. It imports nothing of MOSN, so that the tool links no proxy.
//
// The packages below it know one thing each: layout the names of the files, hexlog
// and pcapng how records are encoded in them. docs/format.md describes every file
// field by field.
package dump
