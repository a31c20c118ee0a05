package tcpcopy

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// statusReply is the answer to a status request.
type statusReply struct {
	Run     string                     `json:"run"`
	Switch  strategy.SwitchStatus      `json:"switch"`
	Window  *windowReply               `json:"window"`
	Windows []captureReply             `json:"windows"` // all that are open, captures included
	Opening *strategy.TransitionStatus `json:"opening,omitempty"`
	Closing *closingReply              `json:"closing,omitempty"`
	Guard   strategy.GuardStatus       `json:"guard"`
	Next    *time.Time                 `json:"next,omitempty"`
	Skipped strategy.SkipStatus        `json:"skipped"`
	Buffer  bufferReply                `json:"buffer"`
	Flight  flightReply                `json:"flight"`
	Live    liveReply                  `json:"live"`
	Totals  totalsReply                `json:"totals"`
	Output  outputReply                `json:"output"`
	Watch   *watchStatus               `json:"watch,omitempty"`
	Owners  map[string]string          `json:"owners"` // by part of the process: the listener that configures it
	Refused []refusal                  `json:"refused"`
	Panics  uint64                     `json:"panics"`
}

type windowReply struct {
	strategy.WindowStatus
	Accounts *record.Accounts `json:"accounts,omitempty"` // of the window up to now
}

// closingReply is a window that is being written out.
type closingReply struct {
	strategy.TransitionStatus
	Accounts *record.Accounts `json:"accounts,omitempty"` // of the window up to now
}

type bufferReply struct {
	Used int64 `json:"used"` // bytes
	Size int64 `json:"size"` // bytes
	// Window is the size of the open window's buffer, 0 without a window: less than Size
	// where that did not fit into the memory.
	Window int64 `json:"window"` // bytes
}

type liveReply struct {
	Streams int    `json:"streams"`
	Lost    uint64 `json:"lost"` // bytes of payload that slow readers have lost
}

type totalsReply struct {
	Windows uint64 `json:"windows"` // finished
	Faults  uint64 `json:"faults"`  // alerts raised
	// Losses that are in no account of bytes.
	PortraitsLost uint64 `json:"portraits_lost"`
	IndexLost     uint64 `json:"index_lines_lost"`
	record.Accounts
}

type outputReply struct {
	Dir       string   `json:"dir"`
	Formats   []string `json:"formats"`
	MaxTotal  int64    `json:"max_total"` // bytes
	Listeners []string `json:"listeners"` // that are recorded
}

// status handles GET /api/v1/tcpcopy.
func (a *admin) status(w http.ResponseWriter, req *http.Request) {
	if !allow(w, req, http.MethodGet, http.MethodHead) {
		return
	}
	reply(w, http.StatusOK, a.recorder.status())
}

func (r *recorder) status() statusReply {
	s, stats := r.controller.Status(), r.stats()
	out := statusReply{
		Run: r.run, Switch: s.Switch, Opening: s.Opening, Guard: s.Guard, Next: s.Next, Skipped: s.Skipped,
		Totals: totalsReply{Windows: stats.Windows, Faults: stats.Faults, PortraitsLost: stats.PortraitsLost, IndexLost: stats.IndexLost, Accounts: stats.Accounts},
		Panics: r.panics.Load(),
		Live:   liveReply{Streams: stats.Live, Lost: stats.LiveLost},
	}
	if s.Window != nil {
		out.Window = &windowReply{WindowStatus: *s.Window, Accounts: stats.Window}
	}
	if s.Closing != nil {
		out.Closing = &closingReply{TransitionStatus: *s.Closing, Accounts: stats.Window}
	}
	p := r.presence()
	flight := r.flight.Status()
	out.Windows, out.Flight = openWindows(&s, &flight, stats.Lives), r.flightReply(p)
	flightRefused := r.flightRefusal()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watch != nil {
		watched := r.watch.report()
		out.Watch = &watched
	}
	config := persistence.DefaultConfig()
	if r.store != nil {
		config = r.store.Config()
	}
	out.Buffer = bufferReply{Used: stats.Buffered, Size: config.BufferSize, Window: stats.Buffer}
	out.Output = outputReply{Dir: config.Dir, MaxTotal: config.MaxTotal, Formats: []string{}, Listeners: []string{}}
	for _, f := range config.Formats {
		out.Output.Formats = append(out.Output.Formats, string(f))
	}
	out.Owners, out.Refused = r.ownersLocked(p), r.refusedLocked(p)
	for name := range r.listeners {
		if p.has(name) && !slices.ContainsFunc(out.Refused, func(f refusal) bool { return f.Listener == name }) {
			out.Output.Listeners = append(out.Output.Listeners, name)
		}
	}
	slices.Sort(out.Output.Listeners)
	if f := flightRefused; f != nil && p.has(f.Listener) {
		out.Refused = append(out.Refused, *f)
	}
	return out
}

// refusedLocked returns the listeners whose configuration was refused: those that
// disagree with another one, and those whose block has faults. The latter it finds in
// MOSN's configuration, because MOSN does not pass a factory the listener's name.
// Listeners that are not present are left out.
func (r *recorder) refusedLocked(p presence) []refusal {
	byName := maps.Clone(r.refused)
	for name, config := range p.blocks {
		if _, err := parseSettings(config); err != nil {
			byName[name] = refusal{Listener: name, Error: err.Error()}
		}
	}
	maps.DeleteFunc(byName, func(name string, _ refusal) bool { return name != extendsBlock && !p.has(name) })
	all := slices.AppendSeq([]refusal{}, maps.Values(byName))
	slices.SortFunc(all, func(a, b refusal) int { return strings.Compare(a.Listener, b.Listener) })
	return all
}
