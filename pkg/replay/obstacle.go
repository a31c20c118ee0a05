package replay

import (
	"fmt"
	"strings"

	"mosn.io/tcpcopy/pkg/record"
)

// Obstacle is a reason for which a session cannot be replayed as it was.
type Obstacle struct {
	Kind   ObstacleKind
	Detail string // for people
}

// ObstacleKind is the kind of an Obstacle.
type ObstacleKind string

// The kinds of obstacles. Options.Partial replays a connection in spite of all but
// Legacy, Datagrams and Empty.
const (
	BeganBefore ObstacleKind = "began_before" // the connection is older than the window
	HasGaps     ObstacleKind = "gaps"         // bytes are missing
	OneWay      ObstacleKind = "one_way"      // answers were not recorded
	Legacy      ObstacleKind = "legacy"       // the file does not have connections
	Datagrams   ObstacleKind = "datagrams"    // UDP
	Empty       ObstacleKind = "empty"        // there is nothing to send or to receive
	Unanswered  ObstacleKind = "unanswered"   // was cut off before anything was answered
	CutOff      ObstacleKind = "cut_off"      // was still open at the window's end; keeps nothing from being sent but what was not answered
)

// canBePartial reports whether the session can be replayed as far as it goes.
func (k ObstacleKind) canBePartial() bool {
	return k != Legacy && k != Datagrams && k != Empty
}

// blocks reports whether a session with it is left out.
func (k ObstacleKind) blocks(partial bool) bool {
	return k != CutOff && (!partial || !k.canBePartial())
}

// String returns the Detail.
func (o Obstacle) String() string { return o.Detail }

// Obstacles returns why s cannot be replayed as it was; none for most.
func (s *Session) Obstacles() []Obstacle {
	if s.facts.legacy {
		return []Obstacle{{Legacy, "the log does not tell the connections of port " + s.Port + " apart"}}
	}
	if s.Network == "udp" {
		return []Obstacle{{Datagrams, "datagrams, not a connection"}}
	}
	if len(s.events) == 0 {
		return []Obstacle{{Empty, "carried no bytes"}}
	}
	var all []Obstacle
	if !s.facts.began {
		all = append(all, Obstacle{BeganBefore, "began before the window"})
	}
	if s.facts.gaps != (record.PerDirection{}) {
		all = append(all, Obstacle{HasGaps, fmt.Sprintf("has gaps: %d request and %d answer bytes are missing", s.Lost.In, s.Lost.Out)})
	}
	if !s.answers && s.Bytes.In > 0 {
		all = append(all, Obstacle{OneWay, "one direction only: its answers were not recorded"})
	}
	if !s.facts.closed {
		detail := "was still open at the window's end"
		if _, n := requests(s.events[len(s.replayable(false)):]); n > 0 {
			detail += fmt.Sprintf(": its last %d request bytes were not answered", n)
		}
		all = append(all, Obstacle{CutOff, detail})
	}
	if len(s.replayable(false)) == 0 {
		all = append(all, Obstacle{Unanswered, "nothing that it sent was answered"})
	}
	return all
}

// blocked returns the obstacles that keep s from being replayed.
func (s *Session) blocked(partial bool) []Obstacle {
	var all []Obstacle
	for _, o := range s.Obstacles() {
		if o.Kind.blocks(partial) {
			all = append(all, o)
		}
	}
	return all
}

// comparable reports whether the recorded answers are all there.
func (s *Session) comparable() bool { return s.answers && s.facts.gaps.Out == 0 }

// details joins the texts of obstacles.
func details(obstacles []Obstacle) string {
	texts := make([]string, len(obstacles))
	for i, o := range obstacles {
		texts[i] = o.Detail
	}
	return strings.Join(texts, "; ")
}
