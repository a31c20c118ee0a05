package tcpcopy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mosn.io/tcpcopy/internal/mask"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// capture handles POST /api/v1/tcpcopy/capture: it opens a capture on demand.
func (a *admin) capture(w http.ResponseWriter, req *http.Request) {
	if !allow(w, req, http.MethodPost) || !a.authorized(w, req) {
		return
	}
	query, ok := queryOf(w, req)
	if !ok {
		return
	}
	wanted, err := captureRequest(query, a.recorder.run)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), adminCaptureTimeout)
	defer cancel()
	captured, err := a.recorder.flight.Capture(ctx, wanted)
	var fault *model.FieldError
	switch {
	case errors.As(err, &fault):
		refuse(w, http.StatusBadRequest, err)
	case errors.Is(err, strategy.ErrStillOpening): // it may be written yet
		reply(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error(), "window": captured.Window})
	case err != nil:
		refuse(w, statusOf(err), err)
	default:
		answer := map[string]any{"window": captured.Window, "opened": captured.Opened, "closes": captured.Closes}
		if s := a.recorder.flight.Status(); s.Paused {
			answer["paused"] = s.Reason
		}
		if store := a.recorder.storeOrNil(); store != nil {
			if short := store.ShortOfSpace(); short != "" {
				answer["paused"] = short
			}
		}
		reply(w, http.StatusOK, answer)
	}
}

// adminCaptureTimeout is how long a caller waits for a capture to be opened. tcpcopyctl waits
// longer for the answer.
const adminCaptureTimeout = 20 * time.Second

// captureFields are the parameters of a request for a capture.
var captureFields = []string{"before", "after", "scope", "conn", "listener", "reason"}

// captureRequest returns what the parameters ask for. run is the process's. The error names
// every fault.
func captureRequest(query url.Values, run string) (r strategy.CaptureRequest, err error) {
	var errs []error
	bad := func(field string, value any, valid string) {
		errs = append(errs, &model.FieldError{Field: field, Value: value, Valid: valid})
	}
	for field, words := range query {
		switch {
		case !slices.Contains(captureFields, field):
			bad(mask.Name(field), mask.Kind("a parameter"), "no parameter of that name; there are "+strings.Join(captureFields, ", "))
		case len(words) > 1:
			bad(field, strings.Join(words, ","), "one value")
		}
	}
	duration := func(field string) *time.Duration {
		text := query.Get(field)
		if !query.Has(field) {
			return nil
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > strategy.MaxOnDemand {
			bad(field, text, `a duration from "0s" to "24h", such as "30s" or "1m30s"`)
		}
		return &d
	}
	r.Before, r.After = duration("before"), duration("after")
	conn, listener := query.Get("conn"), query.Get("listener")
	if query.Has("conn") && !isConnOf(conn, run) {
		bad("conn", conn, fmt.Sprintf("<run>-<number>, a connection of this process, whose run is %s", run))
	}
	r.Conn = conn
	r.Scope.Kind = strategy.ScopeKind(query.Get("scope"))
	switch {
	case r.Scope.Kind == "" && !query.Has("scope"):
		r.Scope.Kind = strategy.ScopeProcess
		if conn != "" {
			r.Scope.Kind = strategy.ScopeConnection
		} else if listener != "" {
			r.Scope.Kind = strategy.ScopeListener
		}
	case !slices.Contains(strategy.ScopeKinds(), r.Scope.Kind):
		bad("scope", string(r.Scope.Kind), "connection, listener, process")
	}
	switch r.Scope.Kind {
	case strategy.ScopeConnection:
		if r.Scope.Conn = conn; conn == "" {
			bad("conn", mask.Kind("not set"), "a connection <run>-<number>, because scope is connection")
		}
	case strategy.ScopeListener:
		if r.Scope.Listener = listener; listener == "" {
			if r.Scope.Conn = conn; conn == "" {
				bad("listener", mask.Kind("not set"), "the name of a listener, or conn, a connection of it, because scope is listener")
			}
		}
	}
	if listener != "" && r.Scope.Kind != strategy.ScopeListener {
		bad("listener", listener, "only with scope=listener")
	}
	if r.Reason = query.Get("reason"); len(r.Reason) > record.MaxReason || !utf8.ValidString(r.Reason) {
		bad("reason", mask.Kind(fmt.Sprintf("a text of %d bytes", len(r.Reason))), fmt.Sprintf("a text in UTF-8 of at most %d bytes", record.MaxReason))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return r, errors.Join(errs...)
}

// isConnOf reports whether conn has the form of a connection's identity in that run.
func isConnOf(conn, run string) bool {
	number, ok := strings.CutPrefix(conn, run+"-")
	return ok && number != "" && len(number) <= 20 && strings.Trim(number, "0123456789") == ""
}

// replaceFlight handles PUT /api/v1/tcpcopy/flight: it replaces the whole block.
func (a *admin) replaceFlight(w http.ResponseWriter, req *http.Request) {
	if !allow(w, req, http.MethodPut) || !a.authorized(w, req) {
		return
	}
	body, ok := bodyOf(w, req, "a flight block")
	if !ok {
		return
	}
	source := "admin request from " + req.RemoteAddr
	f, err := parseFlightText(body)
	if err == nil {
		err = a.recorder.flightFits(f)
	}
	if err != nil {
		a.recorder.countRefusal()
		a.recorder.refuseFlight(source, err)
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if err := a.recorder.installFlight(f, source); err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	reply(w, http.StatusOK, a.recorder.flightReply(a.recorder.presence()))
}
