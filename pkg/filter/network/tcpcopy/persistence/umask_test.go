package persistence

import "golang.org/x/sys/unix"

// umask sets the process's mask and returns what sets it back.
func umask(mask int) (restore func()) {
	old := unix.Umask(mask)
	return func() { unix.Umask(old) }
}
