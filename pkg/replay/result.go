package replay

import (
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Verdict is what comparing a turn's answers gave.
type Verdict string

// The verdicts.
const (
	Equal     Verdict = "equal"
	Late      Verdict = "late"      // equal, but slower than the recorded latency and the turn timeout together
	Missing   Verdict = "missing"   // nothing came
	Different Verdict = "different" // something else came, or not all of it
)

// Counts are how many turns had which verdict. Turns is their sum.
type Counts struct {
	Turns     uint64
	Equal     uint64
	Different uint64
	Missing   uint64
	Late      uint64
	Noise     uint64 // of the equal and late ones: those equal but for what the baseline showed to be noise
}

func (c *Counts) add(o *Counts) {
	c.Turns += o.Turns
	c.Equal += o.Equal
	c.Different += o.Different
	c.Missing += o.Missing
	c.Late += o.Late
	c.Noise += o.Noise
}

func (c *Counts) count(v Verdict) {
	c.Turns++
	switch v {
	case Equal:
		c.Equal++
	case Late:
		c.Late++
	case Missing:
		c.Missing++
	case Different:
		c.Different++
	}
}

// Conn is the result of one session.
type Conn struct {
	record.Identity
	Loop      int                 // from 1
	Protocol  Protocol            // empty for what was left out
	Obstacles []Obstacle          // why it was left out, or is not replayed as it was
	Skipped   bool                // it was left out
	Compared  bool                // its answers were compared
	Sends     int                 // how many pieces there were to send
	Sent      int                 // how many were
	Bytes     record.PerDirection // sent (In) and received (Out)
	Elapsed   time.Duration       // from connecting on
	Err       error               // what ended it before its end; nil if nothing did
	Counts
	Differences []Difference // the first of them, at most Options.MaxDifferences
	unexplained []finding    // differences that noise elsewhere may explain
	order       int          // of its session
}

// Difference is an answer that is not the recorded one.
type Difference struct {
	Turn     int // from 1; 0 is what came before any request
	Verdict  Verdict
	Label    string // the request's words, where the protocol has such
	Request  []byte // how the request begins, where it has no words; owned by the Difference
	At       int    // where the two begin to differ, in bytes from the answer's first
	Recorded Excerpt
	Replayed Excerpt
	Note     string // what the excerpts do not show
}

// Excerpt is the part of an answer in which it differs. HTTP's answers are in the
// form in which they are compared.
type Excerpt struct {
	From  int    // bytes of the answer before it
	Bytes []byte // owned by the Excerpt
	Total uint64 // bytes of the answer
}

// Result is what a replay found.
type Result struct {
	Target, Baseline string // Baseline is empty where there is none
	Mode             Mode
	Speed            float64
	Loops            int
	Compared         bool
	Started          time.Time
	Elapsed          time.Duration
	Planned          time.Duration // how long it would have taken without being late
	Interrupted      bool          // it was ended before its end

	Connections int // replayed, the failed ones included
	Failed      int // not connected, or ended before their end
	Unconnected int // of the failed ones: the target could not be reached
	Skipped     int // left out
	Sent        uint64
	Bytes       record.PerDirection
	Counts

	Recorded Histogram // how long the recorded answers took
	Replayed Histogram // how long those of the target took
	Lateness Histogram // how much later than planned requests were sent

	// Conns are the connections that are Notable. At most Options.MaxConns are kept; MoreConns counts the
	// others.
	Conns     []*Conn
	MoreConns int
}

// Same reports whether everything was replayed to its end, and every answer that was
// compared was equal, be it late.
func (r *Result) Same() bool {
	return !r.Interrupted && r.Failed == 0 && r.Different == 0 && r.Missing == 0
}

// Notable reports whether c is not as it was: left out, failed, with differences, late
// answers or obstacles.
func (c *Conn) Notable() bool {
	return c.Skipped || c.Err != nil || c.Different+c.Missing+c.Late > 0 || len(c.Obstacles) > 0
}
