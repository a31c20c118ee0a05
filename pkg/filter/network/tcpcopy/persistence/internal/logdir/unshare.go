package logdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// unshare makes a copy of the file name, in its place, if it is the file of that inode
// and has other names too, as after a backup with hard links: what is cut off the copy
// stays in the other places. It returns the inode of the file that the name stands for
// then, or inode.
func (f *folder) unshare(name string, inode uint64) (uint64, error) {
	in, err := f.OpenToRead(name)
	if errors.Is(err, fs.ErrNotExist) {
		return inode, nil
	}
	if err != nil {
		return inode, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return inode, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Ino != inode || st.Nlink < 2 {
		return inode, nil
	}
	partial := name + layout.TemporaryExtension
	out, err := f.CreateAnew(partial) // nobody else recovers: the spool is locked
	if err != nil {
		return inode, err
	}
	_, err = io.Copy(out, in)
	info, errStat := out.Stat()
	if err = errors.Join(err, errStat, out.Close()); err == nil {
		err = f.Rename(partial, name)
	}
	if err != nil {
		return inode, fmt.Errorf("copy %s, which has other names: %w", in.Name(), errors.Join(err, f.Remove(partial)))
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = st.Ino
	}
	return inode, nil
}
