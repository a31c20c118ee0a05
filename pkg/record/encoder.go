package record

// Encoder turns the events of flows into a file's format. Each method appends
// complete lines or blocks to dst and returns the extended slice; none keeps dst
// or data. Times are nanoseconds since the Unix epoch. An Encoder belongs to one
// goroutine and is not safe for concurrent use.
type Encoder interface {
	// Open says that f takes part in the window. It comes before all else of f. Where f
	// has a Checkpoint, it is written too.
	Open(dst []byte, t int64, f *Flow) []byte
	// Data holds bytes that passed, from offset on.
	Data(dst []byte, t int64, f *Flow, dir Direction, offset uint64, data []byte) []byte
	// Gap says that length bytes from offset on passed and were not kept.
	Gap(dst []byte, t int64, f *Flow, dir Direction, offset, length uint64, reason Reason) []byte
	// Close says that the connection has ended after totals bytes in all.
	Close(dst []byte, t int64, f *Flow, reason CloseReason, totals PerDirection) []byte
}
