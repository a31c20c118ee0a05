package dump

import "mosn.io/tcpcopy/pkg/record"

// Reader returns records one after the other. Those of one connection come in the
// order in which the recorder wrote them.
type Reader interface {
	// Next returns the next record, which is the reader's and valid until the next
	// call. Its error is io.EOF at the end. A *record.DamageError says that something
	// could not be read and was passed over: the next call reads on after it. Any other error is final.
	Next() (*record.Record, error)
	// Close releases the files. It may be called more than once.
	Close() error
}
