package tcpcopy

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// windowHeader has the id of the live-only window that a stream is of.
const windowHeader = "X-Tcpcopy-Window"

// streamRequest returns what the parameters of a request for a stream ask for: whether it
// records itself, and then whether the guard has no say.
func streamRequest(query url.Values) (records, unguarded bool, err error) {
	words, records := query["record"]
	if records && (len(words) != 1 || words[0] != string(record.TriggerLive)) {
		err = &model.FieldError{Field: "record", Value: strings.Join(words, ","), Valid: "live, or no such parameter"}
	}
	unguarded, guardErr := guardOff(query)
	if guardErr == nil && query.Has("guard") && !records {
		guardErr = &model.FieldError{Field: "guard", Value: query.Get("guard"), Valid: "only with record=live"}
	}
	return records, unguarded, errors.Join(err, guardErr)
}

// liveSink is a live-only window, as the strategy's controller uses it.
type liveSink struct{ *persistence.LiveWindow }

// Opened implements strategy.LiveSink.
func (s liveSink) Opened() time.Time { return s.Window().Opened }

// openLive opens a live-only window, which the caller ends with endLive. Its stream may end
// before.
func (r *recorder) openLive(unguarded bool) (stream *persistence.Live, w record.Window, err error) {
	w, err = r.controller.OpenLive(unguarded, func(w record.Window) (strategy.LiveSink, error) {
		if err := r.nothingToRecord(); err != nil {
			return nil, &record.SkipError{Reason: record.SkipListener, Err: err}
		}
		store, err := r.readyStore()
		if err != nil {
			return nil, &record.SkipError{Reason: record.SkipOutput, Err: err}
		}
		live, err := store.OpenLive(w)
		if errors.Is(err, persistence.ErrNoRoom) {
			err = &record.SkipError{Reason: record.SkipMemory, Err: err}
		}
		if err != nil {
			return nil, err
		}
		stream = live.Live
		return liveSink{live}, nil
	})
	r.skips.flush()
	r.startPublishing()
	return stream, w, err
}

// endLive ends a live-only window. Its line is written afterwards.
func (r *recorder) endLive(id string) {
	r.controller.EndLive(id)
	r.publish()
}
