package tcpcopy

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
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

// statusReply is the answer to a status request.
type statusReply struct {
	Run     string                     `json:"run"`
	Switch  strategy.SwitchStatus      `json:"switch"`
	Window  *windowReply               `json:"window"`
	Opening *strategy.TransitionStatus `json:"opening,omitempty"`
	Closing *closingReply              `json:"closing,omitempty"`
	Guard   strategy.GuardStatus       `json:"guard"`
	Next    *time.Time                 `json:"next,omitempty"`
	Skipped strategy.SkipStatus        `json:"skipped"`
	Buffer  bufferReply                `json:"buffer"`
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
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		code, tooLarge := http.StatusBadRequest, (*http.MaxBytesError)(nil)
		if errors.As(err, &tooLarge) {
			code = http.StatusRequestEntityTooLarge
		}
		refuse(w, code, fmt.Errorf("body: %w, valid: a dump config of up to %d bytes", err, maxBody))
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

// stream handles GET /api/v1/tcpcopy/stream: it sends pcapng until the caller goes. A
// caller that reads slowly loses records; see persistence.Live.
func (a *admin) stream(w http.ResponseWriter, req *http.Request) {
	if !allow(w, req, http.MethodGet) || !a.authorized(w, req) {
		return
	}
	live, err := a.recorder.subscribe()
	if err != nil {
		refuse(w, http.StatusServiceUnavailable, err)
		return
	}
	defer live.Close()
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
		errors.Is(err, strategy.ErrSwitchedOff), errors.Is(err, strategy.ErrCanceled):
		return http.StatusConflict
	case errors.Is(err, strategy.ErrNoWindow):
		return http.StatusNotFound
	default:
		return http.StatusServiceUnavailable
	}
}

// authorized reports whether the caller may change state or see payload. If not, it
// has answered the request.
func (a *admin) authorized(w http.ResponseWriter, req *http.Request) bool {
	source := a.token.Load()
	if source == nil {
		return a.local(w, req)
	}
	token, code, err := readToken(source)
	if err != nil {
		refuse(w, code, err)
		return false
	}
	got := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(got), []byte(token)) != 1 {
		w.Header().Set("WWW-Authenticate", "Bearer")
		refuse(w, http.StatusUnauthorized, errors.New(`a token is required: "Authorization: Bearer <token>" with the content of the configured token file`))
		return false
	}
	return true
}

// local reports whether the request is one of a loopback peer, another process on this host.
// If not, it has answered the request.
func (a *admin) local(w http.ResponseWriter, req *http.Request) bool {
	why := nonLocal(req)
	if why == "" && a.peers != nil {
		if err := a.peers.isOther(req); errors.Is(err, errManyLookers) {
			refuse(w, http.StatusServiceUnavailable, err)
			return false
		} else if err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		refuse(w, http.StatusForbidden, fmt.Errorf("only loopback peers may do this, not %s; configure token_file to allow others", why))
		return false
	}
	return true
}

// nonLocal returns why the request is not a local one: it comes from another host, or
// through a browser that a page of another site or a forged name has sent here. It
// returns "" for a local one.
func nonLocal(req *http.Request) (why string) {
	peer, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return req.RemoteAddr
	}
	if host := hostName(req.Host); host != "localhost" && host != "" {
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Unmap().IsLoopback() {
			return fmt.Sprintf("one that asks the host %q", req.Host)
		}
	}
	for _, name := range nonLocalHeaders {
		if len(req.Header.Values(name)) > 0 {
			return "through a browser or proxy, as the header " + name + " shows"
		}
	}
	if sitesUnknown(req) {
		return "a browser that does not say which site the request comes from (Sec-Fetch-Site)"
	}
	return ""
}

// nonLocalHeaders are headers that browsers send for a page, and that proxies on this
// host add to requests that they pass on.
var nonLocalHeaders = [...]string{"Origin", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"}

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
