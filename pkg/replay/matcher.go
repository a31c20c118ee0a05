package replay

import "time"

// The two sides that a matcher compares.
const (
	recorded = iota
	replayed
)

// matcher pairs the answers of a replay with the recorded ones. A client calls it
// with both in the order of the session: the recorded bytes up to the event that
// it replays, what it sent, and what it received. Times are since the Recording's
// begin and since the replay's. A matcher belongs to one goroutine.
type matcher interface {
	// request adds data that the recorded client sent at then, and the replay at
	// now. It does not keep data.
	request(data []byte, then, now time.Duration)
	// maySend reports whether the protocol allows the data of the last request to be
	// sent now.
	maySend() bool
	// answer adds data that one side's client received. It does not keep data.
	answer(side int, data []byte, at time.Duration)
	// end marks the end of a side's answers.
	end(side int, at time.Duration)

	// progress compares how much of the answers has come with how much had come
	// when the recorded client went on.
	progress() progress
	// recordedLatency returns how long the recorded client waited for the answer
	// that the replay waits for now.
	recordedLatency() time.Duration
	// giveUp lets the replay go on without the rest of the answers.
	giveUp()

	// fault returns what is wrong with the replay's answers, when they are not in
	// the session's protocol.
	fault() error
	// finish pairs what is left. Nothing else is called after it.
	finish()
}

// progress is how far a replay's answers are.
type progress int

const (
	incomplete     progress = iota // more must come
	different                      // more must come, though what came differs from the recording already
	surplus                        // as much has come, and more, and it differs
	likelyComplete                 // as one of these two, and what came ends as the recorded answer does
	caughtUp
)

// pair is an answer of the recording and of the replay to the same requests. Its
// bytes are valid until the function that is given it returns.
type pair struct {
	turn    int    // from 1; 0 is what came before any request
	label   string // the request's words, where the protocol has such
	request []byte // how it begins, where it has none
	want    answer
	got     answer
	same    bool          // all bytes are equal; got has no bytes then
	open    bool          // the recording ends within the answer: what comes after it is not compared
	cut     bool          // got is not all of an answer
	then    time.Duration // how long the recorded answer took
	now     time.Duration // how long the replayed answer took
	timed   bool          // then and now are valid; got is whole then
}

// newMatcher returns the matcher for a protocol. It calls sink with each pair as
// soon as both of its sides are complete. It keeps at most limit bytes of an answer.
func newMatcher(p Protocol, o matchOptions, sink func(*pair)) matcher {
	switch p {
	case HTTP1, HTTP2:
		return newMessageMatcher(p, o, sink)
	default:
		return newByteMatcher(o, sink)
	}
}

// matchOptions say how a matcher pairs.
type matchOptions struct {
	limit   int             // bytes of an answer that are kept
	turns   bool            // each request waits for the answer to the one before
	blind   bool            // answers are counted, not compared
	cutOff  bool            // the recording may end within an answer
	headers map[string]bool // header fields that are left out, by canonical name
}

// Bounds of what a matcher keeps of turns that wait for their answers.
const (
	maxOpenTurns = 4096
	maxOpenBytes = 8 << 20
)
