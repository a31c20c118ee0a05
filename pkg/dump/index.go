package dump

import (
	"encoding/json"
	"time"

	"mosn.io/tcpcopy/pkg/record"
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

// WindowLine is one line of the index: a finished window and its accounts.
type WindowLine struct {
	Window  string         `json:"window"`
	Trigger record.Trigger `json:"trigger"`
	Opened  time.Time      `json:"opened"`
	Closed  time.Time      `json:"closed"`
	Run     string         `json:"run"`
	Ports   []string       `json:"ports"`
	record.Accounts
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
