package logdir

import "errors"

// Destination is what chunks of encoded records are written to.
type Destination interface {
	// Begin waits until the destination belongs to the caller, which it does until
	// the transaction's End. It returns ErrWaiting for a while after a failure. After
	// an error there is no transaction.
	Begin() (Transaction, error)
}

// Transaction is the exclusive use of a destination. It belongs to the goroutine
// that has begun it.
type Transaction interface {
	// Room returns memory to append up to n bytes to, after what has been put. It
	// is the destination's, and valid until the next call of a method. Room returns
	// ErrFull when n bytes are too many for the file: the caller commits and calls
	// Next, which a transaction that can be full has; see FileTransaction.
	Room(n int) (dst []byte, err error)
	// Put appends what has been appended to Room's slice.
	Put(extended []byte)
	// Commit makes what has been put since the last commit a chunk of the file. After
	// an error of Commit or Room, the caller calls Abort.
	Commit() error
	// Abort drops what has been put since the last commit, because of err, and has
	// the destination wait before the next Begin. Only End may follow.
	Abort(err error)
	// End gives the destination up. What is not committed by then is not in it.
	End()
}

// FileDestination is a Destination of files, which outlive the process.
type FileDestination interface {
	Destination
	// Retry makes the next Begin try at once, even after a failure.
	Retry()
	// TruncateUncommitted makes the file of that inode, if the destination has it, no
	// longer than size bytes: a killed process has not committed what follows.
	// The file stays as it is where records of another window than that of the ID
	// window follow.
	TruncateUncommitted(inode, size uint64, window string) error
}

// FileTransaction is the transaction of a FileDestination.
type FileTransaction interface {
	Transaction
	// Next ends the file and begins another one. All is committed.
	Next() error
	// Position returns the inode of the file that is being written, and its size in
	// bytes at the last commit.
	Position() (inode, size uint64)
}

// ErrWaiting says that a destination is not tried because it has just failed.
var ErrWaiting = errors.New("waiting after a failure")

// ErrFull says that a file is to be ended before more is put.
var ErrFull = errors.New("the file is full")
