package persistence

import (
	"fmt"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// spaceEvery is how often the free space is looked at in a window.
const spaceEvery = time.Second

// watchSpace is the goroutine that pauses a session while the file system has
// less free space than Config.MinFree; paused is the result of the first look.
// Close ends it.
func (s *Session) watchSpace(paused bool) {
	defer s.workers.Done()
	ticker := time.NewTicker(spaceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.lookAgain(&paused)
		case <-s.stop:
			return
		}
	}
}

func (s *Session) lookAgain(paused *bool) {
	defer catchPanic(s.store.alert, "looking at the free space")
	*paused = s.lookAtSpace(*paused)
}

// lookAtSpace pauses the session when too little space is free, or resumes it. paused
// says whether the session is paused for that reason; the result, whether it is now.
func (s *Session) lookAtSpace(paused bool) bool {
	short, err := s.store.shortOfSpace()
	switch {
	case err != nil:
		// The writes themselves report what is wrong with the directory.
	case short != "" && !paused:
		s.Pause(record.ReasonDisk)
		s.store.alert("disk", fmt.Errorf("recording pauses: %s", short))
		return true
	case short == "" && paused:
		s.Resume(record.ReasonDisk)
		s.store.info("%s has space again, recording goes on", s.store.config.Dir)
		return false
	}
	return paused
}

// ShortOfSpace returns why recording pauses for want of free space; "" if it does not. It
// asks the file system, which may take as long as the disk does.
func (s *Store) ShortOfSpace() string {
	short, err := s.shortOfSpace()
	if err != nil {
		return "" // the writes themselves report what is wrong with the directory
	}
	return short
}

// shortOfSpace says what is missing when less space is free than is asked for.
func (s *Store) shortOfSpace() (string, error) {
	c := &s.config
	if c.MinFree == (MinFree{}) {
		return "", nil
	}
	fs, err := s.dir.Folder().Statfs()
	if err != nil {
		return "", err
	}
	free, floor := fs.Bavail*uint64(fs.Bsize), c.MinFree.bytes(fs.Blocks*uint64(fs.Bsize))
	if free >= floor {
		return "", nil
	}
	return fmt.Sprintf("%s has %d bytes free, %s asks for %d", c.Dir, free, s.host.fieldName("MinFree"), floor), nil
}
