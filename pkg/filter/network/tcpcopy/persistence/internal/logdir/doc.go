// Package logdir writes the dump directory: logs that processes share, pcapng
// segments of one window each, and the index of windows. It rolls and archives
// files, keeps all of them together below a size, and waits after failures. The
// package persistence gives it encoded records; it knows nothing of batches,
// sessions or connections.
//
// # What it writes
//
//	Dir          the directory: size limit, archived files, index; makes the others
//	AppendLog    a log; several goroutines and several processes append to it
//	Segments     the pcapng files of one window; one process writes them
//	Index        one line per window, and marks at files that are gone
//
// # Transactions
//
// AppendLog and Segments are Destinations. Begin gives the caller the destination
// for itself until End:
//
//	tx, err := log.Begin()
//	if err != nil {
//		return err // ErrWaiting for a while after a failure
//	}
//	defer tx.End()
//	dst, err := tx.Room(n) // ErrFull: commit, Next, and Room again
//	tx.Put(encode(dst))
//	err = tx.Commit() // or, after any error, tx.Abort(err)
//
// What has been put since the last commit is one chunk. After Commit it is in one
// file entirely; after Abort nothing of it is in any file.
//
// # Locks
//
// Where two are held at once, they are locked in this order: a destination's, that of
// the size limit, the index file's. The disk is waited for under all of them.
package logdir
