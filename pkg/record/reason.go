package record

// Reason says why bytes that passed in a window were not kept.
type Reason uint8

// The reasons of gaps that the recorder gives.
const (
	ReasonNone       Reason = iota
	ReasonBufferFull        // the workers were slower than the traffic
	ReasonWriteError        // the file could not be written
	ReasonLimit             // beyond max_bytes_per_connection
	ReasonGuard             // the host was above its CPU or memory limit
	ReasonDisk              // free space was below min_free
	ReasonUnseen            // an earlier filter of the chain consumed the bytes before tcpcopy saw them

	NumReasons = iota
)

// ReasonMissing is the reason of gaps that no record mentions: bytes between two
// records of a stream that the files do not have. Only readers give it, so it is
// a word and not a Reason.
const ReasonMissing = "missing"

// String returns the word that logs and the index use for r.
func (r Reason) String() string {
	switch r {
	case ReasonBufferFull:
		return "buffer_full"
	case ReasonWriteError:
		return "write_error"
	case ReasonLimit:
		return "limit"
	case ReasonGuard:
		return "guard"
	case ReasonDisk:
		return "disk"
	case ReasonUnseen:
		return "unseen"
	default:
		return "none"
	}
}
