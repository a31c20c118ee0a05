package tcpcopy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"mosn.io/tcpcopy/internal/openfile"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
	"mosn.io/tcpcopy/pkg/record"
)

// Paths of the admin requests, for MOSN's admin server.
const (
	statusPath = "/api/v1/tcpcopy"
	configPath = "/api/v1/tcpcopy/config"
	windowPath = "/api/v1/tcpcopy/window"
	streamPath = "/api/v1/tcpcopy/stream"

	capturePath = "/api/v1/tcpcopy/capture"
	flightPath  = "/api/v1/tcpcopy/flight"
)

// maxBody bounds what an admin request may carry: a DumpConfig is far shorter.
const maxBody = 64 << 10

// admin handles the requests of MOSN's admin server. It checks the methods itself:
// patterns with methods do not work in hosts with an old go line.
type admin struct {
	recorder *recorder
	// token has the token that callers must send. Without one only loopback peers may
	// change state.
	token atomic.Pointer[openfile.Source]
	// peers finds the process's own requests; nil means that nobody looks.
	peers *ownPeers
}

// config handles PUT /api/v1/tcpcopy/config?layer=app.
func (a *admin) config(w http.ResponseWriter, req *http.Request) {
	if !allow(w, req, http.MethodPut) || !a.authorized(w, req) {
		return
	}
	query, ok := queryOf(w, req)
	if !ok {
		return
	}
	layer := model.Layer(strings.Join(query["layer"], ","))
	if layer != model.LayerApp && layer != model.LayerGlobal {
		refuse(w, http.StatusBadRequest, &model.FieldError{Field: "layer", Value: string(layer), Valid: "app, global"})
		return
	}
	body, ok := bodyOf(w, req, "a dump config")
	if !ok {
		return
	}
	source := "admin request from " + req.RemoteAddr
	config, err := model.ParseDumpConfig(body, layer)
	if err != nil {
		a.recorder.countRefusal()
		a.recorder.controller.Refuse(layer, source, err)
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if err := a.recorder.controller.Set(layer, config, source); err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	reply(w, http.StatusOK, a.recorder.controller.Status().Switch)
}

// window handles POST and DELETE /api/v1/tcpcopy/window.
func (a *admin) window(w http.ResponseWriter, req *http.Request) {
	if !allow(w, req, http.MethodPost, http.MethodDelete) || !a.authorized(w, req) {
		return
	}
	if req.Method == http.MethodDelete {
		closed, err := a.recorder.controller.CloseWindow()
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		reply(w, http.StatusOK, map[string]any{"window": closed.ID, "closed": closed.Closes})
		return
	}
	query, ok := queryOf(w, req)
	if !ok {
		return
	}
	text := strings.Join(query["seconds"], ",")
	seconds, err := strconv.Atoi(text)
	if limit := int(strategy.MaxManual / time.Second); err != nil || seconds < 1 || seconds > limit {
		refuse(w, http.StatusBadRequest, &model.FieldError{Field: "seconds", Value: text, Valid: fmt.Sprintf("1 … %d", limit)})
		return
	}
	open := a.recorder.controller.OpenManual
	unguarded, err := guardOff(query)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if unguarded {
		open = a.recorder.controller.OpenUnguarded
	}
	opened, err := open(time.Duration(seconds) * time.Second)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	answer := map[string]any{"window": opened.ID, "closes": opened.Closes}
	if unguarded {
		answer["guard"] = record.GuardOff
	}
	if store := a.recorder.storeOrNil(); store != nil {
		if short := store.ShortOfSpace(); short != "" {
			answer["paused"] = short
		}
	}
	reply(w, http.StatusOK, answer)
}

// queryOf returns the parameters of the request. Where they cannot be read, it has
// answered the request and returns false; URL.Query would leave those parameters out.
func queryOf(w http.ResponseWriter, req *http.Request) (url.Values, bool) {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("query: %w", err))
	}
	return query, err == nil
}

// bodyOf returns the request's body. Where it cannot be read, it has answered the request and
// returns false; valid says what the body may be.
func bodyOf(w http.ResponseWriter, req *http.Request, valid string) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		code, tooLarge := http.StatusBadRequest, (*http.MaxBytesError)(nil)
		if errors.As(err, &tooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		refuse(w, code, fmt.Errorf("body: %w, valid: %s of up to %d bytes", err, valid, maxBody))
	}
	return body, err == nil
}

// guardOff reports whether the request insists on a window whatever the guard says.
func guardOff(query url.Values) (bool, error) {
	words, given := query["guard"]
	if !given {
		return false, nil
	}
	if len(words) == 1 && (words[0] == "on" || words[0] == record.GuardOff) {
		return words[0] == record.GuardOff, nil
	}
	return false, &model.FieldError{Field: "guard", Value: strings.Join(words, ","), Valid: "on, off"}
}

// stream handles GET /api/v1/tcpcopy/stream: it sends pcapng until the caller goes, of what
// windows record, or with record=live of a live-only window. A caller that reads slowly loses
// records; see persistence.Live.
func (a *admin) stream(w http.ResponseWriter, req *http.Request) {
	if !allow(w, req, http.MethodGet) || !a.authorized(w, req) {
		return
	}
	query, ok := queryOf(w, req)
	if !ok {
		return
	}
	records, unguarded, err := streamRequest(query)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	var live *persistence.Live
	var window record.Window
	if records {
		live, window, err = a.recorder.openLive(unguarded)
	} else {
		live, err = a.recorder.subscribe()
	}
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	if records {
		defer a.recorder.endLive(window.ID)
		w.Header().Set(windowHeader, window.ID)
	} else {
		defer live.Close()
	}
	w.Header().Set("Content-Type", "application/x-pcapng")
	w.WriteHeader(http.StatusOK)
	flusher, _ := w.(http.Flusher)
	for {
		chunk, err := live.Next(req.Context())
		if err != nil {
			return // the caller has gone, or the process is stopping
		}
		if _, err := w.Write(chunk); err != nil {
			return
		}
		if flusher != nil {
			flusher.Flush()
		}
	}
}

// statusOf returns the HTTP status for a refusal.
func statusOf(err error) int {
	var skip *record.SkipError
	switch {
	case errors.As(err, &skip) && skip.Reason == record.SkipListener:
		return http.StatusConflict
	case errors.Is(err, strategy.ErrForceOff), errors.Is(err, strategy.ErrWindowOpen), errors.Is(err, strategy.ErrBusy),
		errors.Is(err, strategy.ErrSwitchedOff), errors.Is(err, strategy.ErrCanceled),
		errors.Is(err, strategy.ErrNoRing), errors.Is(err, strategy.ErrManyCaptures):
		return http.StatusConflict
	case errors.Is(err, strategy.ErrNoWindow), errors.Is(err, strategy.ErrNoConnection):
		return http.StatusNotFound
	default:
		return http.StatusServiceUnavailable
	}
}

// allow reports whether the request's method is one of methods and nothing says that it
// comes from a page of another site. If not, it has answered the request.
func allow(w http.ResponseWriter, req *http.Request, methods ...string) bool {
	if why := fromPage(req); why != "" {
		refuse(w, http.StatusForbidden, fmt.Errorf("pages of other sites may not do this: %s", why))
		return false
	}
	if slices.Contains(methods, req.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("method %s, valid: %s", req.Method, strings.Join(methods, ", ")))
	return false
}

func refuse(w http.ResponseWriter, code int, err error) {
	reply(w, code, map[string]string{"error": err.Error()})
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(body) // all bodies can be encoded; the caller may have gone
}
