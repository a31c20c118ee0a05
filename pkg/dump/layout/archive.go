package layout

import (
	"path/filepath"
	"strings"
	"time"
)

// archiveTimeFormat is the form of the time in an archive's name, in local time.
const archiveTimeFormat = "2006-01-02T15-04-05.000"

// ArchiveResolution is how finely the name of an archive says the time.
const ArchiveResolution = time.Millisecond

// Archive returns the name that a log gets when it is rotated at t:
// dump_tcp_copy-2024-05-06T07-08-09.000.log. The log may be a path; then the
// result is one.
func Archive(log string, t time.Time) string {
	ext := filepath.Ext(log)
	return strings.TrimSuffix(log, ext) + "-" + t.Local().Format(archiveTimeFormat) + ext
}

// ParseArchive returns when log was rotated to the file name; ok is
// false when name is no archive of log. Of a compressed archive it wants the name
// without GzipExtension.
func ParseArchive(name, log string) (t time.Time, ok bool) {
	ext := filepath.Ext(log)
	stamp, ok := strings.CutPrefix(name, strings.TrimSuffix(log, ext)+"-")
	if !ok {
		return t, false
	}
	if stamp, ok = strings.CutSuffix(stamp, ext); !ok {
		return t, false
	}
	t, err := time.ParseInLocation(archiveTimeFormat, stamp, time.Local)
	return t, err == nil
}

// legacyPrefix begins the names of the flow log's archives that MOSN's own roller
// made: it appends a date or a date and hour (mosn.io/pkg/log/roller.go).
const legacyPrefix = FlowLog + "."

// parseFlowArchive is ParseArchive for the flow log, and knows the names that MOSN's
// roller gave. Those do not say when the log was rotated, but when the file begins.
func parseFlowArchive(name string) (t time.Time, ok bool) {
	if t, ok = ParseArchive(name, FlowLog); ok {
		return t, true
	}
	if stamp, legacy := strings.CutPrefix(name, legacyPrefix); legacy {
		for _, format := range []string{"2006-01-02", "2006-01-02_15"} {
			if t, err := time.ParseInLocation(format, stamp, time.Local); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// ArchivedBefore reports whether the name of a flow log's file says that it was
// rotated before t, so that it has nothing from t on.
func ArchivedBefore(path string, t time.Time) bool {
	at, ok := ParseArchive(TrimGzip(filepath.Base(path)), FlowLog)
	return ok && at.Before(t)
}

// MayGrow reports whether a file of that name may still be written to: it is neither
// an archive of the flow log nor compressed.
func MayGrow(path string) bool {
	_, archived := parseFlowArchive(filepath.Base(path))
	return !archived && TrimGzip(path) == path
}
