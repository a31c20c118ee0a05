package test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/rand"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mosn.io/tcpcopy/internal/devcert"
	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/wiretap"
)

// incidents are the triggers of the tests.
var incidents = []block{
	{"name": "errors", "where": `failed and not (path startsWith "/never")`},
	{"name": "slow", "where": `path == "/slow" and latency > 300ms`},
	{"name": "never", "where": `path == "/never" and latency > 300ms`},
	{"name": "marker", "bytes": []string{"-----BEGIN \\x00MARK"}, "direction": "in"},
	{"name": "resets", "close": []string{"OnReadErrClose"}},
}

// Incidents of one process, under a load of 64 connections, with no window open:
// each is in a capture of its own, which has what its connection's client and server
// exchanged from its beginning on, and nothing else. So it is with what somebody asks for,
// with what is changed at run time, and at the end of the process.
func TestIncidentsAreCaptured(t *testing.T) {
	t.Parallel()
	f := startFlight(t)
	t.Run("triggers", f.triggers)
	t.Run("on demand", f.onDemand)
	t.Run("new triggers keep the ring", f.newTriggers)
	t.Run("budget", f.budget)
	t.Run("a window beside the ring, and another size", f.window)
	t.Run("FORCE_OFF", f.forceOff)
	t.Run("SIGTERM", f.stop)
}

// flying is a process with a flight recorder, under load.
type flying struct {
	*mosn
	http, tcp, tls, unix, grpc string // addresses
	trusted                    *x509.CertPool
	spools                     string
	load                       *crowd
	never                      chan struct{} // closed when requests of /never may be answered
}

func startFlight(t *testing.T) *flying {
	base := newBase(t)
	f := &flying{
		http: freeAddress(t), tcp: freeAddress(t), tls: freeAddress(t), unix: filepath.Join(base, "s.sock"), grpc: freeAddress(t),
		trusted: x509.NewCertPool(), spools: spoolFolder(t), never: make(chan struct{}),
	}
	pair, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.trusted.AppendCertsFromPEM(pair.Cert)
	filter := recorder(base, flightBlock("64MiB", block{"triggers": incidents}), block{
		"output": block{"dir": dumpDir(base), "formats": []string{"hex_meta", "pcapng"}, "roll": "size=2 keep=10000"},
		"buffer": block{"spool": f.spools},
	})
	overTLS := mosnproc.NewListener("tls", f.tls, filter, tcpProxyTo("echo"))
	overTLS.Chains[0].TLS = block{"status": true, "cert_chain": string(pair.Cert), "private_key": string(pair.Key)}
	overUnix := mosnproc.NewListener("unix", f.unix, filter, tcpProxyTo("echo"))
	overUnix.Network = "unix"
	config := configOf(httptestServer(t, http.HandlerFunc(f.serve)),
		mosnproc.NewListener("http", f.http, filter, mosnproc.Proxy("Http1")),
		mosnproc.NewListener("tcp", f.tcp, filter, tcpProxyTo("echo")),
		mosnproc.NewListener("grpc", f.grpc, filter, mosnproc.Filter{Type: "grpc", Config: block{"server_name": grpcecho.ServerName}}),
		overTLS, overUnix)
	echoes := mosnproc.NewCluster(upstream(t, echo))
	echoes.Name = "echo"
	config.Clusters.Clusters = append(config.Clusters.Clusters, echoes)
	f.mosn = start(t, base, config)
	t.Cleanup(func() { close(f.never) }) // before the server is closed
	f.ringOpen()
	const connections = 64
	f.load = newCrowd(t, connections, 25*time.Millisecond, func(i int) (net.Conn, error) {
		return net.Dial("tcp", []string{f.http, f.tcp}[i%2])
	}, func(i int, c *client, random *rand.Rand) error {
		body := randomBytes(random.Int63(), 1+random.Int63n(300))
		if i%2 == 0 {
			return c.post("/load", http.StatusOK, body)
		}
		return c.echo(string(body))
	})
	f.load.progress(5 * connections)
	return f
}

// serve answers with what it is sent, unless the path says otherwise.
func (f *flying) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	switch r.URL.Path {
	case "/fail":
		w.WriteHeader(http.StatusBadGateway)
	case "/slow":
		<-time.After(400 * time.Millisecond) // longer than the trigger's
	case "/never":
		<-f.never
	}
	_, _ = w.Write(body) // or the client has gone
}

// dial connects to a listener until the test ends.
func (f *flying) dial(t *testing.T, network, address string) *client {
	t.Helper()
	conn, err := net.Dial(network, address)
	if address == f.tls {
		conn, err = tls.Dial(network, address, &tls.Config{RootCAs: f.trusted, ServerName: "localhost"})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return newClient(conn)
}

// worked fails the test at an error.
func worked(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// triggers has one incident of each kind, with calls before and after it.
func (f *flying) triggers(t *testing.T) {
	failing, slow, never := f.dial(t, "tcp", f.http), f.dial(t, "tcp", f.http), f.dial(t, "tcp", f.http)
	body := []byte("a body of the incident")
	for _, c := range []*client{failing, slow, never} {
		for range 3 {
			worked(t, c.post("/before", http.StatusOK, body))
		}
	}
	// Two failures, the second of which joins the first one's capture.
	worked(t, failing.post("/fail", http.StatusBadGateway, body), failing.post("/between", http.StatusOK, body), failing.post("/fail", http.StatusBadGateway, body))
	worked(t, failing.post("/after", http.StatusOK, body), slow.post("/slow", http.StatusOK, body), slow.post("/after", http.StatusOK, body))
	if _, err := io.WriteString(never, "GET /never HTTP/1.1\r\nHost: flight\r\n\r\n"); err != nil {
		t.Fatal(err)
	}

	marked, unix, reset := f.dial(t, "tcp", f.tls), f.dial(t, "unix", f.unix), f.dial(t, "tcp", f.tcp)
	const marker = "-----BEGIN \x00MARK"
	for _, c := range []*client{marked, unix, reset} {
		worked(t, c.echo("before"), c.echo(marker[:len(marker)-1]), c.echo("not yet "))
	}
	// The pattern is cut into two reads, and again into single ones.
	worked(t, marked.echo("x"+marker[:5], marker[5:]+"y"), marked.echo("after"))
	worked(t, unix.echo(strings.Split(marker, "")...), unix.echo("after"))
	worked(t, reset.Conn.Conn.(counted).Conn.(*net.TCPConn).SetLinger(0), reset.Close())

	var tap *wiretap.Conn
	conn := dialGRPC(t, f.grpc, &tap)
	defer conn.Close()
	ctx := deadline(t)
	for range 3 {
		if _, err := grpcecho.Echo(ctx, conn, body); err != nil {
			t.Fatal(err)
		}
	}
	var answer wrapperspb.StringValue
	if err := conn.Invoke(ctx, "/no.Such/Method", wrapperspb.String("x"), &answer); status.Code(err) != codes.Unimplemented {
		t.Fatalf("the server says %v", err)
	}
	if _, err := grpcecho.Echo(ctx, conn, body); err != nil {
		t.Fatal(err)
	}

	byClient := map[string]oracle.Window{}
	for trigger, n := range map[string]int{"errors": 2, "slow": 1, "never": 1, "marker": 2, "resets": 1} {
		for _, w := range f.caused(trigger, n) {
			c := f.only(w)
			byClient[c.Client] = w
			if w.Trigger != "flight" || w.Cause.Conn != c.Conn || w.AskedBeforeMS == nil || *w.AskedBeforeMS != 20_000 || w.Recovered {
				t.Errorf("the capture of %s: index line %+v, cause %+v", trigger, w, w.Cause)
			}
			if called := w.Cause.Call != nil; called != (trigger != "marker" && trigger != "resets") {
				t.Errorf("the capture of %s: call %+v", trigger, w.Cause.Call)
			}
			if at := w.Cause.Time; at.Before(w.Opened) || at.After(w.Closed) {
				t.Errorf("the capture of %s is of %v … %v, its cause of %v", trigger, w.Opened, w.Closed, at)
			}
		}
	}
	overGRPC := &client{Conn: tap, loose: true}
	for name, c := range map[string]*client{"errors": failing, "slow": slow, "never": never, "marker": marked, "unix": unix, "resets": reset, "grpc": overGRPC} {
		address := c.LocalAddr().String()
		if address == "" {
			address = "@"
		}
		w, ok := byClient[address]
		if !ok {
			t.Errorf("%s: no capture of %s", name, address)
			continue
		}
		f.holds(w, c)
		// The ring has had all of it, so the capture has.
		r := f.only(w)
		if r.In.Begin() != 0 || r.Out.Begin() != 0 || r.In.End() == 0 {
			t.Errorf("%s: the capture has %d … %d in, %d … %d out", name, r.In.Begin(), r.In.End(), r.Out.Begin(), r.Out.End())
		}
		if name == "resets" && (r.Closed == nil || r.Closed.Reason != "OnReadErrClose") {
			t.Errorf("the reset is recorded as %+v", r.Closed)
		}
	}
	s := f.flight()
	if s.Flight.Suppressed != 0 || s.Flight.Captures != uint64(len(byClient)) {
		t.Errorf("status %+v", s.Flight)
	}
}

// onDemand asks for captures of the process, a listener and a connection.
func (f *flying) onDemand(t *testing.T) {
	c, other := f.dial(t, "unix", f.unix), f.dial(t, "tcp", f.tcp)
	worked(t, c.echo("before"), other.echo("before"))
	f.load.progress(200)
	asked := time.Now()
	all := f.capture("?scope=process&before=1s&after=1s&reason=what+is+it")
	tcp := f.capture("?scope=listener&listener=tcp&before=500ms&after=1s")
	worked(t, c.echo("meanwhile"), other.echo("meanwhile"))
	w, listener := f.finished(all), f.finished(tcp)
	if w.Opened.After(asked) || w.Cause.Trigger != "request" || w.Cause.Reason != "what is it" {
		t.Errorf("asked for at %v: index line %+v, cause %+v", asked, w, w.Cause)
	}
	conn := f.of(f.finished(f.capture("?scope=listener&listener=tcp&before=20s&after=0s")), other).Conn
	one := f.finished(f.capture("?conn=" + conn + "&before=20s&after=0s"))

	ctl := buildCtl(t)
	ctl.run(t, "capture", f.admin(), "--before", "20s", "--after", "100ms", "--reason", "by the tool")
	tool := f.finishedBecause("by the tool")
	f.load.leave() // its steps are read
	var ofTCP []*client
	for i, c := range f.load.clients {
		if i%2 == 1 {
			ofTCP = append(ofTCP, c)
		}
	}
	f.holds(w, append(f.load.clients, c, other)...)
	f.holds(listener, append(ofTCP, other)...)
	f.holds(one, other)
	if r := f.only(one); r.In.Begin() != 0 || !contains(r.In, "beforemeanwhile") {
		t.Errorf("the connection's capture begins at %d", r.In.Begin())
	}
	complete(t, tool)
	f.reads(t, ctl, w, one)
}

// finishedBecause waits until the capture with that reason is in the index.
func (m *mosn) finishedBecause(reason string) (found oracle.Window) {
	m.t.Helper()
	eventually(m.t, "the capture is in the index", func() bool {
		windows, _ := oracle.ReadIndex(m.dump) // there is none yet, perhaps
		for _, w := range windows {
			if w.Cause != nil && w.Cause.Reason == reason {
				found = w
			}
		}
		return found.Window != ""
	})
	return found
}

// reads checks what a user sees of a dump in which windows overlap: one is a capture of one
// of the connections of w, in the same time.
func (f *flying) reads(t *testing.T, ctl ctlBinary, w, one oracle.Window) {
	type listed struct {
		ID     string `json:"id"`
		Window string `json:"window"`
		Conn   string `json:"conn"`
	}
	conn := f.only(one).Conn
	calls := rows[listed](t, ctl.run(t, "calls", f.dump, "--window", one.Window, "-o", "json"))
	for _, c := range calls {
		if c.Conn != conn || c.Window != one.Window {
			t.Errorf("call %+v is not of window %s, connection %s", c, one.Window, conn)
		}
	}
	if len(calls) != 2 {
		t.Errorf("%d calls of connection %s, want 2", len(calls), conn)
	}
	// Once for each window that has it.
	seen := map[listed]int{}
	for _, c := range rows[listed](t, ctl.run(t, "calls", f.dump, "-o", "json")) {
		seen[c]++
	}
	for c, n := range seen {
		if n > 1 {
			t.Errorf("call %+v is listed %d times", c, n)
		}
	}
	ctl.run(t, "show", calls[0].ID, f.dump).refused(t, exitUsage, "--window")
	ctl.run(t, "show", calls[0].ID, f.dump, "--window", one.Window).ok(t)
	for _, command := range []string{"windows", "conns"} {
		ctl.run(t, command, f.dump).ok(t)
	}
	out := filepath.Join(t.TempDir(), "one.pcapng")
	ctl.run(t, "export", f.dump, "--window", one.Window, "-o", out).ok(t)
	ctl.run(t, "replay", f.dump, "--dry-run", "--window", w.Window, "--to", "127.0.0.1:9").ok(t)
	if text := ctl.run(t, "status", f.admin()).ok(t).stdout; !strings.Contains(text, "flight") {
		t.Errorf("status: %s", text)
	}
}

// newTriggers changes the triggers: what the ring has stays.
func (f *flying) newTriggers(t *testing.T) {
	c := f.dial(t, "tcp", f.http)
	worked(t, c.post("/before", http.StatusOK, nil))
	replaced := time.Now()
	f.replaceFlight(flightBlock("64MiB", block{"triggers": []block{{"name": "late", "where": `path == "/late"`, "after": "0s"}}}))
	worked(t, c.post("/fail", http.StatusBadGateway, nil)) // which is no trigger any more
	worked(t, c.post("/late", http.StatusOK, nil))
	w := f.caused("late", 1)[0]
	f.holds(w, c)
	if r := f.only(w); r.In.Begin() != 0 || !contains(r.In, "/before") || !w.Opened.Before(replaced) {
		t.Errorf("triggers were replaced at %v, the capture begins at %v, offset %d", replaced, w.Opened, r.In.Begin())
	}
	f.caused("errors", 2)
}

// budget has more events than captures may be made.
func (f *flying) budget(t *testing.T) {
	before := f.flight().Flight
	f.replaceFlight(flightBlock("64MiB", block{"captures": "1/1h", "triggers": []block{{"name": "late", "where": `path == "/late"`, "after": "0s"}}}))
	for range 3 {
		worked(t, f.dial(t, "tcp", f.http).post("/late", http.StatusOK, nil))
	}
	eventually(t, "the events are suppressed", func() bool { return f.flight().Flight.Suppressed == before.Suppressed+3 })
	if s := f.flight().Flight; s.Captures != before.Captures || s.Triggers[0].Fired != 4 || s.Triggers[0].Suppressed != 3 {
		t.Errorf("status %+v", s)
	}
	f.caused("late", 1)
}

// window has a window open while the ring's size changes.
func (f *flying) window(t *testing.T) {
	c := f.dial(t, "tcp", f.tcp)
	worked(t, c.echo("before"))
	id := f.open()
	worked(t, c.echo("in the window"))
	capture := f.capture("?scope=process&after=1h")
	worked(t, c.echo("in both"))
	replaced := time.Now()
	f.replaceFlight(flightBlock("32MiB", nil))
	worked(t, c.echo("with another size"))
	f.finished(capture)
	worked(t, c.echo("the window goes on"))
	w := f.close(id)
	complete(t, w)
	r := f.only(w)
	if got := string(mustBytes(t, r.In)); got != "in the windowin bothwith another sizethe window goes on" {
		t.Errorf("the window has %q", got)
	}
	f.captureAgrees(w)
	captured := f.finished(capture)
	complete(t, captured)
	f.captureAgrees(captured)
	// The new ring knows nothing of that time.
	f.ringOpen()
	worked(t, c.echo("in the new ring"))
	next := f.finished(f.capture("?scope=process&after=0s"))
	f.holds(next, c)
	if !next.Opened.After(replaced) || string(mustBytes(t, f.only(next).In)) != "in the new ring" {
		t.Errorf("the size was changed at %v, the next ring's capture begins at %v", replaced, next.Opened)
	}
}

// forceOff empties the ring and ends captures.
func (f *flying) forceOff(t *testing.T) {
	ctx := deadline(t)
	c := f.dial(t, "tcp", f.tcp)
	worked(t, c.echo("before"))
	capture := f.capture("?scope=process&after=1h")
	worked(t, c.echo("in the capture"))
	worked(t, f.Admin.Configure(ctx, "global", `{"switch":"FORCE_OFF"}`))
	worked(t, c.echo("nothing of this"))
	w := f.finished(capture)
	r := f.of(w, c)
	if err := c.fits(w, r); err != nil || contains(r.In, "nothing of this") || !contains(r.In, "beforein the capture") {
		t.Errorf("the capture has %d bytes: %v", r.In.End(), err)
	}
	_, err := f.Admin.Do(ctx, http.MethodPost, capturePath, "", nil)
	refusedWith(t, err, http.StatusConflict, "FORCE_OFF")
	eventually(t, "the spool is gone", func() bool { return len(spoolsIn(t, f.spools)) == 0 })
	worked(t, f.Admin.Configure(ctx, "global", `{"switch":"OFF"}`))
	f.ringOpen()
	worked(t, c.echo("again"))
	next := f.finished(f.capture("?scope=process&after=0s"))
	f.holds(next, c)
	if got := string(mustBytes(t, f.only(next).In)); got != "again" {
		t.Errorf("the ring has %q", got)
	}
}

// stop ends the process, which ends its captures at once.
func (f *flying) stop(t *testing.T) {
	c := f.dial(t, "tcp", f.tcp)
	worked(t, c.echo("before"))
	capture := f.capture("?scope=process&after=24h")
	if s := f.flight(); len(s.Windows) != 1 || s.Windows[0].ID != capture || s.Windows[0].Trigger != "flight" || s.Windows[0].State != "open" {
		t.Errorf("windows %+v", s.Windows)
	}
	worked(t, c.echo(strings.Repeat("0123456789", 100_000)))
	if err := f.Stop(deadline(t)); err != nil {
		t.Error(err)
	}
	w := f.indexed(capture)
	complete(t, w)
	r := f.of(w, c)
	if err := c.fits(w, r); err != nil || r.In.Begin() != 0 || r.In.End() != c.sent.Load() {
		t.Errorf("%d … %d of %d bytes: %v", r.In.Begin(), r.In.End(), c.sent.Load(), err)
	}
	f.captureAgrees(w)
	if left := spoolsIn(t, f.spools); len(left) != 0 {
		t.Errorf("spools are left: %q", left)
	}
	windows, err := oracle.ReadIndex(f.dump)
	if err != nil {
		t.Error(err)
	}
	for _, w := range windows {
		if w.Recovered {
			t.Errorf("recovered %+v", w)
		}
	}
	f.ownersOnly()
}
