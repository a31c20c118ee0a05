package persistence

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"mosn.io/tcpcopy/internal/mask"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// unchanged stands in a snapshot file for a configuration that is the same as in
// the last line that holds one.
const unchanged = "no_change"

// snapshots is a file of snapshots of one configuration, one line per window. It
// is used by one goroutine at a time.
type snapshots struct {
	file *logdir.AppendLog
	load func() ([]byte, error) // nil when there is no such configuration

	last [md5.Size]byte // of the configuration that the file has last
	end  int64          // size of the file for which last holds
}

// write writes the line of a window: the configuration with its secrets masked
// when it differs from the last one in the file, otherwise a word that says so.
func (s *snapshots) write(window string, now time.Time) (err error) {
	if s.load == nil {
		return nil
	}
	defer func() {
		// The configuration is anybody's: what it does to us must not end the proxy.
		if r := recover(); r != nil {
			err = newPanicError("a snapshot", r)
		}
	}()
	config, err := s.load()
	if err != nil {
		return fmt.Errorf("load configuration: %w", err)
	}
	// What could not be masked must not be written.
	masked, err := mask.JSON(config)
	if err != nil {
		return fmt.Errorf("mask configuration: %w", err)
	}
	var oneLine bytes.Buffer
	if err := json.Compact(&oneLine, masked); err != nil {
		return fmt.Errorf("mask configuration: %w", err)
	}
	masked = oneLine.Bytes()

	size, more := s.file.Size(now)
	if more && size != s.end { // an earlier process has written, or one beside us
		s.last = s.lastSnapshot()
	}
	sum := md5.Sum(masked)
	same := more && sum == s.last
	line := hexlog.AppendPrefix(nil, now)
	line = fmt.Appendf(line, "[%s]", window)
	if same {
		line = append(line, unchanged...)
	} else {
		line = append(line, masked...)
	}
	line = append(line, '\n')
	if err := s.file.Append(line); err != nil {
		return err
	}
	if !more {
		size = 0
	}
	s.last, s.end = sum, size+int64(len(line))
	return nil
}

// snapshotTail is how far back lastSnapshot looks: lines that say unchanged are
// short, so that many windows fit.
const snapshotTail = 16 << 20

// lastSnapshot returns the MD5 of the last configuration in the file, or zeroes when
// there is none.
func (s *snapshots) lastSnapshot() (sum [md5.Size]byte) {
	f, err := s.file.OpenToRead()
	if err != nil {
		return sum
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return sum
	}
	tail, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-snapshotTail), snapshotTail))
	if err != nil {
		return sum
	}
	lines := bytes.Split(tail, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		if at := bytes.Index(lines[i], []byte("]{")); at > 0 {
			return md5.Sum(lines[i][at+1:])
		}
	}
	return sum
}
