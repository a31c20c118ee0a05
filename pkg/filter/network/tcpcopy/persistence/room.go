package persistence

import (
	"errors"
	"fmt"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/record"
)

// Room reads how many more bytes of memory the process may use now, and whose limit
// that is, in words.
type Room func() (bytes int64, limit string, err error)

// ErrNoRoom says that something was not begun because the memory that it may use does
// not fit into a limit of the process.
var ErrNoRoom = buffer.ErrNoRoom

// minWindowBuffer is the least buffer of a window whose configured one does not fit,
// bytes. Where that does not fit either, the window is refused.
const minWindowBuffer = 1 << 20

// overhead is what a window uses beside its buffer, bytes: goroutines, tables and files.
const overhead = 1 << 20

// A reading of a Room that has plenty, so many times what is asked for, is good for so
// many further questions: readings are what takes most of the time of an opening.
const (
	plenty      = 4
	plentyLasts = 7
)

// reserve returns what asks room for further bytes, beside the rest of an allocation. A
// nil Room has room for everything.
func (r Room) reserve(beside int, what string) buffer.Reserve {
	if r == nil {
		return nil
	}
	good := 0
	return func(rest int) error {
		if good > 0 {
			good--
			return nil
		}
		left, limit, err := r()
		switch {
		case err != nil:
			return fmt.Errorf("%w: nobody knows whether %s fits: %w", ErrNoRoom, what, err)
		case int64(rest+beside) > left:
			return fmt.Errorf("%w: %s may use %.1f MiB more, and %.1f MiB are left: %s", ErrNoRoom, what, mebibytes(int64(rest+beside)), mebibytes(left), limit)
		}
		if left/plenty > int64(rest+beside) {
			good = plentyLasts
		}
		return nil
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// room returns the Room of what begins now; see Host.Room.
func (s *Store) room(w *record.Window) Room {
	if s.host.Room == nil {
		return nil
	}
	return s.host.Room(w)
}

// memory is what a window has of memory.
type memory struct {
	buffer   int64 // bytes; Config.BufferSize or less
	sizes    sizes
	spool    *buffer.Spool
	encoders *buffer.Memory
}

// allocate returns the memory of a window. Where the buffer does not fit, the window gets
// a half of it, and so on.
func (s *Store) allocate(w record.Window) (m memory, err error) {
	room, config := s.room(&w), s.config
	for {
		m, err = s.allocateFor(w, config, room)
		if !errors.Is(err, ErrNoRoom) || config.BufferSize/2 < min(s.config.BufferSize, minWindowBuffer) {
			break
		}
		config.BufferSize /= 2
	}
	switch {
	case errors.Is(err, ErrNoRoom):
		s.noRoom.Add(1)
	case err == nil && m.buffer < s.config.BufferSize:
		s.reduced.Add(1)
		s.info("window %s has a buffer of %d bytes instead of %d: more does not fit into the memory", w.ID, m.buffer, s.config.BufferSize)
	}
	return m, err
}

// allocateFor is allocate for the buffer that config has.
func (s *Store) allocateFor(w record.Window, config Config, room Room) (m memory, err error) {
	l := config.sizes()
	m = memory{buffer: config.BufferSize, sizes: l}
	encoded := len(config.Formats) * l.encoded
	blocks := buffer.SpoolBlocks(l.Shards, l.Batch)
	reserve := room.reserve(encoded+overhead, fmt.Sprintf("a window with a buffer of %.1f MiB", mebibytes(m.buffer)))
	if reserve != nil {
		if err := reserve(blocks); err != nil {
			return memory{}, err
		}
	}
	spool, fault, err := buffer.NewSpool(config.spoolDir(blocks), s.dir.Folder(), buffer.SpoolHeader{
		Dir: config.Dir, Run: s.host.Run, Window: w.ID, Trigger: w.Trigger, Opened: w.Opened, Guard: w.GuardWord(),
		Formats: formatNames(config.Formats), Workers: l.Shards, Batch: l.Batch,
	}, reserve)
	if err != nil {
		return memory{}, err
	}
	if fault != nil {
		s.alert("spool", fmt.Errorf("a killed process will lose what is in its buffers: %w", fault))
	}
	if m.encoders, err = buffer.NewMemory(encoded); err != nil {
		spool.Remove()
		return memory{}, err
	}
	m.spool = spool
	return m, nil
}
