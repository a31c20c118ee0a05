package record

import "time"

// Kind says what a Record says of its connection.
type Kind uint8

// The kinds of records.
const (
	KindOpen  Kind = iota + 1 // the connection takes part in the window
	KindData                  // bytes that passed
	KindGap                   // bytes that passed and were not kept
	KindClose                 // the connection ended
	KindState                 // what a decoder of the connection knows where the window begins
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
	case KindState:
		return "state"
	default:
		return "unknown"
	}
}

// Record is the decoded form of what an Encoder was given.
type Record struct {
	Kind Kind
	Time time.Time
	Identity

	Direction Direction    // of data and gaps
	Offset    uint64       // of data and gaps: bytes of the direction that came before
	Length    uint64       // of data and gaps, in bytes
	Data      []byte       // of data; of a state, the checkpoint of package protocol; valid until the reader's next call
	Reason    string       // of gaps and closes: the word of a Reason or a CloseReason, ReasonMissing, or what else the file holds
	Totals    PerDirection // of closes: bytes of the connection in all; with the reason CloseMoved, those out that the process sent itself

	// Start of an opening says that the connection began in the window. Base holds
	// the offsets from which the window has it, where HasBase says that the file
	// has them. A state, which follows the opening, always has them: it holds there.
	Start   bool
	Base    PerDirection
	HasBase bool

	// Legacy says that the file has neither connections nor offsets: the record is a
	// piece of everything that its port received.
	Legacy bool
}
