package layout

import (
	"path/filepath"
	"strconv"
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

// rotation is what the name of a log's archive says of its place.
type rotation struct {
	at     time.Time // when it was rotated, in the local zone; zero where the name has a number
	number int       // logrotate's: the highest is the oldest
}

// parseRotation is ParseArchive, and knows the names that logrotate and MOSN's own roller
// give. MOSN's have a date or a date and hour, at which the file begins
// (mosn.io/pkg/log/roller.go).
func parseRotation(name, log string) (a rotation, ok bool) {
	if a.at, ok = ParseArchive(name, log); ok {
		return a, true
	}
	return parseRotated(name, log)
}

// parseRotated reads the names that logrotate gives a log: "<log>.1", and with dateext
// "<log>-20261127" and whatever dateformat adds, with the extension at the end where the
// configuration says so.
func parseRotated(name, log string) (a rotation, ok bool) {
	ext := filepath.Ext(log)
	stamp, ok := strings.CutPrefix(name, log)
	if !ok {
		if stamp, ok = strings.CutPrefix(name, strings.TrimSuffix(log, ext)); ok {
			stamp, ok = strings.CutSuffix(stamp, ext)
		}
	}
	if !ok || len(stamp) < 2 || strings.IndexByte("-._", stamp[0]) < 0 {
		return a, false
	}
	if n, err := strconv.ParseUint(stamp[1:], 10, 31); err == nil {
		const shortestSecond = 9 // digits of seconds since the Unix epoch, from 1973 on
		switch {
		case len(stamp)-1 < 6:
			a.number = int(n)
			return a, true
		case len(stamp)-1 > shortestSecond-1 && len(stamp)-1 < len("2006010215")+1 && n < 1<<31 && !strings.HasPrefix(stamp[1:], "20"):
			a.at = time.Unix(int64(n), 0)
			return a, true
		}
	}
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-._T:", r) {
			return -1
		}
		return r
	}, stamp)
	if len(digits) < len("20060102") || strings.Trim(digits, "0123456789") != "" {
		return a, false
	}
	for _, format := range []string{"20060102150405", "200601021504", "2006010215", "20060102"} {
		if len(digits) >= len(format) {
			if t, err := time.ParseInLocation(format, digits[:len(format)], time.Local); err == nil {
				a.at = t
				return a, true
			}
		}
	}
	return a, false
}

// compare orders archives by their names, the oldest first.
func (a rotation) compare(b rotation) int {
	switch {
	case a.at.IsZero() && b.at.IsZero():
		return b.number - a.number
	case a.at.IsZero():
		return -1
	case b.at.IsZero():
		return 1
	}
	return a.at.Compare(b.at)
}

// InOrderByName reports whether a file of the flow log has a name that says its place for
// certain among others of which that is true too: logrotate's numbers do, local times do not.
func InOrderByName(path string) bool {
	a, ok := parseRotation(TrimGzip(filepath.Base(path)), FlowLog)
	return ok && a.at.IsZero()
}

// anyZone is how far two local times of one instant can be apart, with room to spare.
const anyZone = 30 * time.Hour

// ArchivedBefore reports whether the name of a flow log's file says that it was
// rotated before t, so that it has nothing from t on. The name does not say in which
// zone its time is.
func ArchivedBefore(path string, t time.Time) bool {
	at, ok := ParseArchive(TrimGzip(filepath.Base(path)), FlowLog)
	return ok && at.Add(anyZone).Before(t)
}

// MayGrow reports whether a file of that name may still be written to: it is neither
// an archive of the flow log nor compressed.
func MayGrow(path string) bool {
	_, archived := parseRotation(filepath.Base(path), FlowLog)
	return !archived && TrimGzip(path) == path
}

// isIndexFile reports whether name is that of a file of the index, whoever has rotated it.
func isIndexFile(name string) bool {
	_, rotated := parseRotation(name, Index)
	return rotated || name == Index
}

// unread returns why a file in a dump directory is not read although its name says that
// it was the recorder's, or "".
func unread(name string) string {
	if strings.HasSuffix(name, TemporaryExtension) || IsOurs(name) {
		return ""
	}
	ours := false
	for _, log := range []string{FlowLog, Index} {
		ours = ours || strings.HasPrefix(name, log) || strings.HasPrefix(name, strings.TrimSuffix(log, filepath.Ext(log))+"-")
	}
	for rest := name; !ours; {
		end := strings.LastIndexByte(rest, '.')
		if end < 0 {
			return ""
		}
		rest = rest[:end]
		_, ours = ParseSegment(rest)
	}
	if strings.HasPrefix(name, Index) && strings.HasSuffix(name, GzipExtension) {
		return "decompress it with gzip -d"
	}
	for _, c := range []struct{ ext, program string }{{".zst", "zstd -d"}, {".bz2", "bzip2 -d"}, {".xz", "xz -d"}, {".lz4", "lz4 -d"}, {".lzma", "xz -d"}, {".Z", "uncompress"}, {".zip", "unzip"}} {
		if strings.HasSuffix(name, c.ext) {
			return "decompress it with " + c.program
		}
	}
	return "read it by its name"
}
