package persistence

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
	"mosn.io/tcpcopy/pkg/record"
)

// spaceEvery is how often the free space is looked at in a window.
const spaceEvery = time.Second

// watchSpace is the goroutine that pauses a session while the file system has
// less free space than Config.MinFree; held is what the first look has come to.
// Close ends it.
func (s *Session) watchSpace(held bool) {
	defer s.workers.Done()
	ticker := time.NewTicker(spaceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.lookAgain(&held)
		case <-s.stop:
			return
		}
	}
}

func (s *Session) lookAgain(held *bool) {
	defer recovered(s.store.alert, "looking at the free space")
	*held = s.lookAtSpace(*held)
}

// lookAtSpace pauses the session when too little space is free, or lets it go on.
// It tells whether the session is held for that reason, as held says it was.
func (s *Session) lookAtSpace(held bool) bool {
	short, err := s.store.config.shortOfSpace()
	switch {
	case err != nil:
		// The writes themselves tell what is wrong with the directory.
	case short != "" && !held:
		s.Hold(record.ReasonDisk)
		s.store.alert("disk", fmt.Errorf("recording pauses: %s", short))
		return true
	case short == "" && held:
		s.Release(record.ReasonDisk)
		s.store.info("%s has space again, recording goes on", s.store.config.Dir)
		return false
	}
	return held
}

// shortOfSpace says what is missing when less space is free than is asked for.
func (c Config) shortOfSpace() (string, error) {
	if c.MinFree == (MinFree{}) {
		return "", nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(c.Dir, &fs); err != nil {
		return "", err
	}
	free, floor := fs.Bavail*uint64(fs.Bsize), c.MinFree.bytes(fs.Blocks*uint64(fs.Bsize))
	if free >= floor {
		return "", nil
	}
	return fmt.Sprintf("%s has %d bytes free, output.min_free asks for %d", c.Dir, free, floor), nil
}
