package dump

import (
	"encoding/json"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Names of the files in a dump directory.
const (
	FlowLog           = "dump_tcp_copy.log"
	PortraitLog       = "dump_portrait_data.log"
	EffectiveConfigs  = "dump_mem_dump.log"
	StaticConfigs     = "dump_static_conf.log"
	Index             = "dump_windows.jsonl"
	SegmentExtension  = ".pcapng"
	SegmentTimeFormat = "20060102T150405Z" // UTC; the window's opening
	RolledTimeFormat  = "2006-01-02T15-04-05.000"
)

// Both is a count for each direction of traffic.
type Both struct {
	In  uint64 `json:"in"`
	Out uint64 `json:"out"`
}

// Add adds n to the count of one direction.
func (b *Both) Add(dir model.Direction, n uint64) {
	if dir == model.Out {
		b.Out += n
	} else {
		b.In += n
	}
}

// Accounts say what became of the traffic of a stretch of time. In each
// direction Seen = Written + Lost once nothing is under way any more.
type Accounts struct {
	Connections uint64            `json:"connections"`
	Records     Both              `json:"records"` // records written
	Seen        Both              `json:"seen"`    // bytes that passed
	Written     Both              `json:"written"` // bytes that every configured file holds
	Lost        Both              `json:"lost"`    // bytes that passed and at least one file lacks
	LostBy      map[string]uint64 `json:"lost_by"` // the lost bytes of both directions, by reason
}

// WindowLine is one line of the index: a finished window and its accounts.
type WindowLine struct {
	Window  string        `json:"window"`
	Trigger model.Trigger `json:"trigger"`
	Opened  time.Time     `json:"opened"`
	Closed  time.Time     `json:"closed"`
	Run     string        `json:"run"`
	Ports   []string      `json:"ports"`
	Accounts
	Files     []string `json:"files"`               // base names, in the order of writing
	Removed   []string `json:"removed,omitempty"`   // those of them that retention has removed
	Recovered bool     `json:"recovered,omitempty"` // written from what a killed process left
}

// AppendJSON appends w as a line of the index.
func (w *WindowLine) AppendJSON(dst []byte) []byte {
	text, err := json.Marshal(w)
	if err != nil {
		panic(err) // no field of WindowLine can fail
	}
	return append(append(dst, text...), '\n')
}

// Plus returns the sum of both.
func (a Accounts) Plus(b Accounts) Accounts {
	sum := func(x, y Both) Both { return Both{x.In + y.In, x.Out + y.Out} }
	lostBy := map[string]uint64{}
	for _, m := range []map[string]uint64{a.LostBy, b.LostBy} {
		for reason, n := range m {
			lostBy[reason] += n
		}
	}
	return Accounts{
		Connections: a.Connections + b.Connections,
		Records:     sum(a.Records, b.Records),
		Seen:        sum(a.Seen, b.Seen),
		Written:     sum(a.Written, b.Written),
		Lost:        sum(a.Lost, b.Lost),
		LostBy:      lostBy,
	}
}
