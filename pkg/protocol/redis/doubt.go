package redis

import (
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
)

// doubt says whether it is uncertain which answer belongs to which command. It begins
// with a gap, or where a connection is recorded from its middle on: commands that were
// not recorded may still be answered, and then every answer belongs to an earlier command
// than it seems. In doubt, answers are given to commands as if no such command were left,
// and the calls are marked.
//
// One byte pattern looks the same with and without such a command: one command, one
// answer, one command, and so on. So doubt ends at a point where all that is known is
// answered and a new command comes, if one of these holds:
//
//   - Twice the connection was quiet: for 200 ms and eight times the longest answer in between.
//     A server that owes an answer does not wait that long, give it when the next command
//     comes, and then owe that one's.
//   - Answers follow their commands as these come, now sooner, now later: 20 times the time from
//     an answer to the next command differed from the last such time by four times the longest
//     answer in between or more. An answer to an earlier command would not have known when to come.
//   - 16 times the client waited longer after an answer than each of the two last answers had come after the one
//     before it. A server that owed an answer would sometimes have given it in such a pause, for it does not know how
//     long the client waits.
//   - For 20 commands, each one was answered before the next, and the kinds of the
//     answers fit them, but would fit none of the 16 commands that came before.
//   - The client has sent no command before it had the last one's answer, for the 32 commands before
//     the doubt and 16 since.
type doubt struct {
	On     bool
	Joined bool // the connection was recorded from its middle on, and there was no gap since

	Inferred bool // there was a doubt, which has ended

	// Before the doubt.
	Alone int // commands in a row of which each was the only one that waited

	// Since it began, or since it was seen that answers came that belong to no command.
	Points  int           // how often a command came when all were answered
	Quiet   int           // how often the connection was quiet before
	Clean   int           // commands in a row that came when all were answered
	Longest time.Duration // from the end of a command to its answer
	Follows int           // how often an answer has followed a command that came sooner or later than the last one
	Wait    time.Duration // the longest answer meanwhile
	Think   time.Duration // from the last answer but one to the next command
	Idle    int           // how often that was longer than the last two exchanges
	Between time.Duration // the last exchange: from an answer to the next one
	Before  int64         // when the last exchange ended
	Last    [maxShift]kinds
	Refuted uint32 // bit i: the answers do not belong to the commands i+1 before

	// How many commands have waited at least, for so many that came. Those that a client sends ahead, without an
	// answer in between, do not count.
	Arrivals int
	Least    int
	Heard    bool // an answer has come since the last command

	LastIn, LastOut int64 // when the last byte of a command and of an answer came
}

const (
	maxShift      = 16
	minQuiet      = 200 * time.Millisecond
	quietFactor   = 8
	enoughFollows = 20
	enoughIdle    = 16
	followFactor  = 4
	minWait       = 100 * time.Microsecond
	cleanByKind   = 20
	cleanByHabit  = 16
	habit         = 32
	surplusLength = 8
)

// begin begins a doubt, or begins it anew.
func (d *doubt) begin() {
	d.On, d.Joined = true, false
	d.reset()
}

// reset gives up what speaks against the doubt.
func (d *doubt) reset() {
	d.Points, d.Quiet, d.Clean, d.Longest, d.Refuted = 0, 0, 0, 0, 0
	d.Last = [maxShift]kinds{}
	d.Follows, d.Wait, d.Think = 0, 0, 0
	d.Idle, d.Between, d.Before = 0, 0, 0
	d.Arrivals, d.Least, d.Heard = 0, 0, false
}

// end ends the doubt.
func (d *doubt) end() {
	d.On, d.Joined, d.Inferred = false, false, true
	d.reset()
}

// arrive is called when a command begins, which came at first.
func (p *parser) arrive(first int64) {
	d := &p.doubt
	if !d.On {
		return
	}
	p.dropLost()
	if p.queue.len() > 0 || p.out.open || p.out.confirmed > 0 || p.out.waiting || p.out.lost {
		d.Clean, d.Follows = 0, 0
		d.Idle, d.Between, d.Before = 0, 0, 0
		if p.queue.len() > 0 {
			d.Alone = 0
		}
		if !d.Heard {
			return
		}
		d.Heard = false
		if d.Least = min(d.Least, p.queue.len()); d.Arrivals == 0 {
			d.Least = p.queue.len()
		}
		if d.Arrivals++; d.Arrivals >= surplusLength {
			p.dropSurplus(d.Least)
			d.Arrivals, d.Least = 0, 0
		}
		return
	}
	d.Arrivals, d.Least, d.Heard = 0, 0, false
	d.Points++
	d.Clean++
	if last := max(d.LastIn, d.LastOut); d.Points > 1 && last != 0 && first != 0 {
		if idle := time.Duration(first - last); idle >= minQuiet && idle >= quietFactor*d.Longest {
			d.Quiet++
		}
		think := time.Duration(first - last)
		if (think - d.Think).Abs() >= followFactor*max(d.Wait, minWait) {
			d.Follows++
		}
		d.Think = think
		if d.Before != 0 {
			between := time.Duration(last - d.Before)
			if d.Between != 0 && think > max(between, d.Between) {
				d.Idle++
			}
			d.Between = between
		}
		d.Before = last
	}
	switch {
	case d.Quiet >= 2, d.Follows > enoughFollows, d.Idle >= enoughIdle,
		d.Clean > cleanByKind && d.Refuted == 1<<maxShift-1,
		d.Clean > cleanByHabit && d.Alone >= habit:
		d.end()
		p.out.sound = true
	}
}

// dropLost gives those commands to the sink that waited when a part of the answers was
// lost: the client would not have gone on otherwise.
func (p *parser) dropLost() {
	for e := p.queue.oldest(); e != nil && e.flags&outGap != 0 && !p.out.open; e = p.queue.oldest() {
		p.unanswered(e, 0, false)
		p.queue.pop()
	}
}

// dropSurplus gives the n oldest commands to the sink, of which it is not certain that they are still to be
// answered: they wait although later ones were answered.
func (p *parser) dropSurplus(n int) {
	for ; n > 0 && !p.out.open && p.out.confirmed == 0; n-- {
		e := p.queue.oldest()
		if e == nil || e.flags&unsure == 0 {
			return
		}
		p.unanswered(e, 0, false)
		p.queue.pop()
	}
}

// contradicted is called before the first command of the queue gets its answer, of a kind;
// 0 where the kind says nothing. Where doubt has ended without proof, an answer that is
// none for its command begins it again.
func (p *parser) contradicted(e *entry, kind kinds) {
	d := &p.doubt
	if d.On || !d.Inferred || kind == 0 || e.flags&bare != 0 {
		return
	}
	c := commands[e.method]
	if c == nil || c.answers == 0 || c.answers&kind != 0 {
		return
	}
	d.begin()
	waiting := p.queue.waiting()
	for i := range waiting {
		waiting[i].flags |= unsure
	}
}

// answered is called when the first command of the queue has its answer, of a kind; 0
// where the kind says nothing.
func (p *parser) answered(e *entry, kind kinds, first int64) {
	d := &p.doubt
	if !d.On {
		if d.Alone++; e.flags&alone == 0 || p.queue.len() > 1 {
			d.Alone = 0
		}
		return
	}
	d.Heard = true
	if e.flags&bare != 0 {
		return
	}
	if e.last != 0 && first != 0 {
		wait := time.Duration(first - e.last)
		d.Longest = max(d.Longest, wait)
		if wait > d.Wait {
			d.Wait, d.Follows = wait, 0
		}
	}
	var expected kinds
	if c := commands[e.method]; c != nil {
		expected = c.answers
	}
	if kind != 0 {
		if expected != 0 && expected&kind == 0 {
			d.reset() // it is not its answer
		}
		for i, before := range d.Last {
			if before != 0 && before&kind == 0 {
				d.Refuted |= 1 << i
			}
		}
	}
	copy(d.Last[1:], d.Last[:maxShift-1])
	d.Last[0] = expected
}

// stray is called when an answer comes to which no command is known.
func (d *doubt) stray() {
	joined := d.Joined
	d.begin()
	d.Joined = joined
}

// mark returns how a call is marked that is uncertain, or whose request is not known.
func (d *doubt) mark() call.Incomplete {
	if d.Joined {
		return call.BeganBefore
	}
	return call.Gap
}
