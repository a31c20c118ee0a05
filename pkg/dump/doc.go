// Package dump knows the files that the recorder writes, both ways: it encodes
// records as hex lines or pcapng blocks, and it finds, decodes and joins them
// again into streams. The recorder's workers call the encoders, the command-line
// tool and the replayer call the readers. It imports nothing of MOSN, so that the
// tool links no proxy. docs/format.md describes every file field by field.
package dump
