package postgresql

import "time"

// doubt says whether it is uncertain which answer belongs to which group of requests. It
// begins with a gap, or where a connection is recorded from its middle on: requests that
// were not recorded may still be answered, and then every answer belongs to an earlier
// request than it seems. In doubt, answers are given to the newest request, and the calls
// are marked.
//
// Clients that send ahead are common: they send the next request when an answer comes, while
// others are still owed. That looks like a client that waits for its answer. So doubt ends
// where all that is known is answered and a new request comes, if one of these holds:
//
//   - Twice the connection was quiet in between: for 200 ms and eight times the longest answer. A
//     server that owes an answer does not wait that long.
//   - 20 times the pause before a request differed from the one before it by four times the longest
//     answer in between or more, and the answer came after its request all the same.
//   - 16 times the client waited longer after an answer than each of the two last answers had come after the one before
//     it. A server that owed an answer would sometimes have given it in such a pause, for it does not know how long
//     the client waits.
//   - The client never sent ahead: 16 times before the doubt, and 4 times since.
type doubt struct {
	On        bool
	Pipelined bool // the client has sent ahead
	Exchanges int  // requests that were answered without a doubt

	// Since it began.
	Clean   int           // requests in a row that came when all were answered
	Quiet   int           // how often it was quiet before one of them
	Follows int           // how often the pause before one of them differed from the last pause
	Longest time.Duration // the longest answer
	Wait    time.Duration // the longest answer since the last pause
	Pause   time.Duration // the last pause
	Idle    int           // how often such a pause was longer than the last two exchanges
	Between time.Duration // the last exchange: from the end of an answer to the end of the next one
	Before  int64         // the end of the answer that the last exchange ended with

	Asked, Answered int64 // when the last byte of a request and of an answer passed
}

const (
	minQuiet      = 200 * time.Millisecond
	quietFactor   = 8
	enoughQuiet   = 2
	minWait       = 100 * time.Microsecond
	followFactor  = 4
	enoughFollows = 20
	enoughIdle    = 16
	habit         = 16
	cleanByHabit  = 4
)

// begin begins a doubt, or begins it anew.
func (d *doubt) begin() {
	*d = doubt{On: true, Pipelined: d.Pipelined, Exchanges: d.Exchanges, Asked: d.Asked, Answered: d.Answered}
}

// ahead says that in doubt a request came before an answer, or an answer without a request.
func (d *doubt) ahead() {
	d.On = true
	d.Clean, d.Follows, d.Idle, d.Between, d.Before = 0, 0, 0, 0, 0
}

// request says that a group of requests begins at a time, when so many are not answered.
func (d *doubt) request(at int64, waiting int) {
	if waiting > 0 {
		if d.On {
			d.ahead()
		} else {
			d.Pipelined = true
		}
		return
	}
	if !d.On {
		return
	}
	d.Clean++
	if d.Answered != 0 && at != 0 {
		pause := time.Duration(at - d.Answered)
		if pause >= max(minQuiet, quietFactor*d.Longest) {
			d.Quiet++
		}
		if d.Clean > 1 && max(pause-d.Pause, d.Pause-pause) >= followFactor*max(d.Wait, minWait) {
			d.Follows++
		}
		d.Pause, d.Wait = pause, 0
		if d.Before != 0 {
			between := time.Duration(d.Answered - d.Before)
			if d.Between != 0 && pause > max(between, d.Between) {
				d.Idle++
			}
			d.Between = between
		}
		d.Before = d.Answered
	}
	byHabit := !d.Pipelined && d.Exchanges >= habit && d.Clean >= cleanByHabit
	if d.Quiet >= enoughQuiet || d.Follows >= enoughFollows || d.Idle >= enoughIdle || byHabit {
		*d = doubt{Pipelined: d.Pipelined, Exchanges: d.Exchanges, Asked: d.Asked, Answered: d.Answered}
	}
}

// answer says that the answers to a group have ended at a time.
func (d *doubt) answer(at int64) {
	if at != 0 && d.Asked != 0 {
		took := max(time.Duration(at-d.Asked), 0)
		d.Longest, d.Wait = max(d.Longest, took), max(d.Wait, took)
	}
	d.Answered = at
	if !d.On {
		d.Exchanges++
	}
}
