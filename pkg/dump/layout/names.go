package layout

import (
	"path/filepath"
	"slices"
	"strings"
)

// Names of the files that keep their names while they are written.
const (
	FlowLog          = "dump_tcp_copy.log"      // records as hex lines
	PortraitLog      = "dump_portrait_data.log" // portraits
	EffectiveConfigs = "dump_mem_dump.log"      // effective configurations of the proxy
	StaticConfigs    = "dump_static_conf.log"   // configuration files of the proxy
	Index            = "dump_windows.jsonl"     // finished windows, see WindowLine and Mark
)

// Ends of names.
const (
	SegmentExtension   = ".pcapng"
	GzipExtension      = ".gz"    // of archives and segments that have been compressed
	TemporaryExtension = ".tmp"   // of a file that is to replace another one
	SpoolExtension     = ".spool" // of spools, which have a directory of their own
)

// SpoolPointerPrefix begins the name of a spool pointer: a hidden file that holds
// the path of a process's spool.
const SpoolPointerPrefix = ".spool-"

// DefaultDir is the dump directory of a recorder whose configuration names no other.
const DefaultDir = "/home/admin/logs/mosn/dump"

// HomeDir returns the dump directory that stands in for DefaultDir below a user's
// home directory.
func HomeDir(home string) string { return filepath.Join(home, "logs/mosn/dump") }

// Logs returns the names of the files that keep their names while they are written.
func Logs() []string {
	return []string{FlowLog, PortraitLog, EffectiveConfigs, StaticConfigs, Index}
}

// IsLog reports whether name is that of a file that keeps its name while it is written.
func IsLog(name string) bool { return slices.Contains(Logs(), name) }

// IsOurs reports whether name is one that the recorder gives to a log, an archive
// or a segment, also while it is compressed or replaced. An export that somebody
// puts into the directory has another name. Spool pointers do not count.
func IsOurs(name string) bool {
	name = TrimGzip(strings.TrimSuffix(name, TemporaryExtension))
	if _, ok := ParseSegment(name); ok {
		return true
	}
	return slices.ContainsFunc(Logs(), func(log string) bool {
		_, archived := ParseArchive(name, log)
		return archived || name == log
	})
}

// IsIndex reports whether name is that of a file of the index: the one that is written,
// or an archive.
func IsIndex(name string) bool {
	_, archived := ParseArchive(name, Index)
	return archived || name == Index
}

// TrimGzip returns the name or path that a compressed file had before.
func TrimGzip(path string) string { return strings.TrimSuffix(path, GzipExtension) }
