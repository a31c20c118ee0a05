// Package safedir keeps a directory that only its owner may change, for a process that
// writes private files to it. A [Dir] holds the directory by its descriptor: each file
// is opened, renamed, removed and listed relative to that descriptor and never through
// a symbolic link, so that nobody who moves the directory away, or puts something else
// in its place, makes the process write elsewhere.
//
// # What is checked
//
// The directory belongs to this process's user or to root, and neither its group nor
// others may write it.
//
// Each directory above it belongs to this process's user or to root. It may be one that
// others may write, such as /tmp or a volume of mode 0777: they can move the directory
// away, which [Dir.Refresh] finds out, but what they put there is theirs, and is
// refused. A symbolic link on the way is followed if it belongs to this process's user
// or to root, and only where others cannot replace it: not in a directory that others
// may write and that has no sticky bit. The path itself may be such a link when the Dir
// is first used. Where it was not, it must not become one.
//
// Each file that is opened is a regular file of this process's user. What is not, such
// as a pipe, neither blocks nor is touched.
package safedir
