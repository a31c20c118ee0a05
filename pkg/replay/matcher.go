package replay

import "time"

// The two sides that a matcher compares.
const (
	recorded = iota
	replayed
)

// matcher pairs the answers of a replay with the recorded ones. It is told of
// both as a replay goes through a session: of recorded bytes up to the point
// where the replay is, of what was sent, and of what has come back. Times are
// since the Recording's begin and since the replay's. A matcher belongs to one
// goroutine.
type matcher interface {
	// request says that the client sent data then, and the replay now. It does
	// not keep data.
	request(data []byte, then, now time.Duration)
	// maySend reports whether the protocol allows what was given to request to be sent
	// now.
	maySend() bool
	// answer says what came on one side. It does not keep data.
	answer(side int, data []byte, at time.Duration)
	// end says that a side's answers have ended.
	end(side int, at time.Duration)

	// progress compares how much of the answers has come with how much had come
	// when the recorded client went on.
	progress() progress
	// recordedLatency is how long the recorded client waited for the answer that is
	// waited for now.
	recordedLatency() time.Duration
	// giveUp says that no more is waited for.
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
	same    bool // all bytes are equal; got has no bytes then
	open    bool // the recording ends within the answer: what comes behind it is not judged
	cut     bool // got is not all of an answer
	then    time.Duration
	now     time.Duration // how long the answer took, recorded and replayed; got has come when now is valid
	timed   bool          // then and now are valid
}

// newMatcher returns the matcher for a protocol. Pairs are given to sink as soon
// as both of their sides are there. Of each answer at most limit bytes are kept.
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
