package persistence

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
)

// sharedMemory is the file system of Linux that lies in memory.
const sharedMemory = "/dev/shm"

// spoolDir returns the directory for a spool of size bytes, "" for plain memory.
func (c Config) spoolDir(size int) string {
	switch c.Spool {
	case SpoolOff:
		return ""
	case SpoolAuto:
		// Twice the size, so that others who use the memory keep some.
		var fs unix.Statfs_t
		if unix.Statfs(sharedMemory, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < 2*uint64(size) {
			return ""
		}
		return filepath.Join(sharedMemory, fmt.Sprintf("tcpcopy-%d", os.Getuid()))
	default:
		return c.Spool
	}
}

// spoolLimits bound the spools that a recovery opens.
func spoolLimits() buffer.Limits {
	return buffer.Limits{Workers: maxWorkers, Buffer: maxBufferSize, Record: maxRecord}
}

func formatNames(formats []Format) []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	return names
}

func formatsOf(names []string) []Format {
	formats := make([]Format, len(names))
	for i, n := range names {
		formats[i] = Format(n)
	}
	return formats
}
