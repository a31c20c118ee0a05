package dump

import (
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Kind says what a Record tells of its connection.
type Kind uint8

// The kinds of records.
const (
	KindOpen  Kind = iota + 1 // the connection takes part in the window
	KindData                  // bytes that passed
	KindGap                   // bytes that passed and were not kept
	KindClose                 // the connection ended
)

// String returns the kind's word in JSON lines.
func (k Kind) String() string {
	switch k {
	case KindOpen:
		return "open"
	case KindData:
		return "data"
	case KindGap:
		return "gap"
	case KindClose:
		return "close"
	default:
		return "unknown"
	}
}

// Identity says to which connection and window a record belongs. Fields that the
// file does not tell are empty.
type Identity struct {
	Window       string // UUID
	Conn         string // <run>-<id>; of legacy lines "all-<port>", which stands for all connections of the port
	Port         string // the listener's port, or the path of its Unix socket
	Network      string // "tcp", "udp" or "unix"
	Peer         string // the client's address
	Listener     string // the address that the client reached
	ListenerName string
}

// Record is the decoded form of what an Encoder was given.
type Record struct {
	Kind Kind
	Time time.Time
	Identity

	Direction model.Direction // of data and gaps
	Offset    uint64          // of data and gaps: bytes of the direction that came before
	Length    uint64          // of data and gaps, in bytes
	Data      []byte          // of data; valid until the reader's next call
	Reason    string          // of gaps and closes
	Totals    Both            // of closes: bytes of the connection in all

	// Start of an opening says that the connection began in the window. Base holds
	// the offsets from which the window has it, where HasBase says that the file
	// tells them.
	Start   bool
	Base    Both
	HasBase bool

	// Legacy says that the file tells neither connections nor offsets: the record
	// is a piece of everything that its port received.
	Legacy bool
}

// Reader gives records one after the other. Those of one connection come in the
// order in which the recorder wrote them.
type Reader interface {
	// Next returns the next record, which is the reader's and valid until the next
	// call. Its error is io.EOF at the end. A *DamageError says that something
	// could not be read and was passed over: the reading goes on behind it with the
	// next call. Any other error is final.
	Next() (*Record, error)
	// Close releases the files. It may be called more than once.
	Close() error
}
