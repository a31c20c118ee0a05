package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// upgrading is a process that is upgraded while clients use it.
type upgrading struct {
	*mosn
	pidFile   string
	run       string // of the old process
	echo, web string // addresses
	visitors  *visitors
	recording time.Time // when the new process had its window
	left      time.Time // when the clients were asked to end
	passedOn  uint64    // bytes that the old process has recorded and passed on to the new one
}

// startUpgrade starts a process with a TCP and an HTTP listener.
func startUpgrade(t *testing.T, record bool) *upgrading {
	t.Helper()
	base := newBase(t)
	u := &upgrading{pidFile: filepath.Join(base, "mosn.pid"), echo: freeAddress(t), web: freeAddress(t), visitors: newVisitors(t)}
	tcp := mosnproc.Filter{Type: "tcp_proxy", Config: block{"cluster": "echo", "routes": []any{block{"cluster": "echo"}}}}
	listeners := []mosnproc.Listener{
		mosnproc.NewListener("echo", u.echo, tcp),
		mosnproc.NewListener("web", u.web, mosnproc.Proxy("Http1")),
	}
	if record {
		filter := recorder(base, roomy(), block{"output": block{
			"dir": dumpDir(base), "formats": []string{"hex_meta", "pcapng"}, "roll": "size=8 keep=1000",
		}})
		for i := range listeners {
			filters := &listeners[i].Chains[0].Filters
			*filters = append([]mosnproc.Filter{filter}, *filters...)
		}
	}
	config := configOf(httpUpstream(t), listeners...)
	echoes := mosnproc.NewCluster(upstream(t, echo))
	echoes.Name = "echo"
	config.Clusters.Clusters = append(config.Clusters.Clusters, echoes)
	u.begin(t, base, config)
	return u
}

// startUpgradable starts a process with a configuration of the caller's, without clients.
func startUpgradable(t *testing.T, base string, config mosnproc.Config) *upgrading {
	t.Helper()
	u := &upgrading{pidFile: filepath.Join(base, "mosn.pid")}
	u.begin(t, base, config)
	return u
}

// begin starts the process and returns when it can be upgraded.
func (u *upgrading) begin(t *testing.T, base string, config mosnproc.Config) {
	t.Helper()
	u.mosn = startTuned(t, base, config, block{"pid": u.pidFile}, block{"graceful_timeout": "1s"})
	u.run = u.runs()
	// MOSN opens the socket on which it is asked for the upgrade a second late.
	eventually(t, "the process can be upgraded", func() bool {
		_, err := os.Stat(filepath.Join(filepath.Dir(u.ConfigPath()), "reconfig.sock"))
		return err == nil
	})
}

func (u *upgrading) load() {
	const pace = 40 * time.Millisecond
	u.visitors.visit(6, manner{kind: "TCP", address: u.echo, pace: pace, send: sendEcho})
	u.visitors.visit(2, manner{kind: "short TCP", address: u.echo, pace: pace, most: 5, send: sendEcho})
	u.visitors.visit(6, manner{kind: "HTTP", address: u.web, pace: pace, send: sendHTTP})
	u.visitors.visit(2, manner{kind: "short HTTP", address: u.web, pace: pace, most: 5, send: sendHTTP})
}

// hangUp has the process upgrade.
func (u *upgrading) hangUp() {
	u.t.Helper()
	if err := syscall.Kill(u.Pid(), syscall.SIGHUP); err != nil {
		u.t.Fatal(err)
	}
}

// runs asks the admin server whose it is; "" when it does not answer, or does not
// know the filter.
func (u *upgrading) runs() string {
	answer, err := u.Admin.Do(deadline(u.t), http.MethodGet, "/api/v1/tcpcopy", "", nil)
	if err != nil {
		return ""
	}
	var status struct {
		Run string `json:"run"`
	}
	if err := json.Unmarshal(answer, &status); err != nil {
		u.t.Fatal(err)
	}
	return status.Run
}

// openInSuccessor opens a window in the new process as soon as that answers. For a
// moment both processes have the admin server's socket.
func (u *upgrading) openInSuccessor() (window string) {
	u.t.Helper()
	eventually(u.t, "the new process opens a window", func() bool {
		if run := u.runs(); run == "" || run == u.run {
			return false
		}
		id, err := u.Admin.OpenWindow(deadline(u.t), 10*time.Minute)
		window = id
		return err == nil
	})
	u.recording = time.Now() // a window's buffer takes its time
	return window
}

// compare checks that the two windows hold of each connection what its client has
// sent and received, once.
func (u *upgrading) compare(before, after oracle.Window) {
	t := u.t
	t.Helper()
	complete(t, before)
	complete(t, after)
	if before.Run != u.run || after.Run == u.run || before.Recovered || !before.Closed.After(after.Opened) {
		t.Errorf("the windows are not one of each process, side by side: %+v, %+v", before, after)
	}
	olds, news := byClient(t, u.connections(before)), byClient(t, u.connections(after))
	count := map[string]int{}
	for _, v := range u.visitors.visits {
		client := v.LocalAddr().String()
		old, next := olds[client], news[client]
		var err error
		switch {
		case old == nil && next == nil:
			// The new process accepts connections before it has a window.
			if v.broken || v.asked.Before(u.recording) {
				count["not recorded"]++
				continue
			}
			err = errors.New("not recorded")
		case next == nil:
			count["old"]++
			err = errors.Join(old.In.Agrees(v.Written()), agreesAsFar(old.Out, v.WasRead()), u.endsRight(v, old))
		case old == nil:
			count["new"]++
			err = errors.Join(next.In.Agrees(v.Written()), agreesAsFar(next.Out, v.WasRead()))
			if !v.asked.Before(u.recording) { // otherwise the window may not have the last message, or a part of it
				err = errors.Join(err, u.endsRight(v, next))
			}
		default:
			count["moved"]++
			err = u.joined(v, old, next)
		}
		if err != nil {
			t.Errorf("client %s, from %s to %s, broken: %t, in the old process: %t, in the new one: %t: %v", client,
				v.began.Format(time.StampMilli), v.ended.Format(time.StampMilli), v.broken, old != nil, next != nil, err)
		}
	}
	t.Logf("connections %v, %d bytes were passed on", count, u.passedOn)
	if count["moved"] == 0 || count["old"] == 0 || count["new"] == 0 {
		t.Errorf("connections are not in the old, the new and both processes: %v", count)
	}
	for _, w := range []oracle.Window{before, after} {
		u.captureAgrees(w)
	}
}

func byClient(t *testing.T, all []*oracle.Connection) map[string]*oracle.Connection {
	t.Helper()
	clients := map[string]*oracle.Connection{}
	for _, c := range all {
		if clients[c.Client] != nil {
			t.Errorf("client %s is recorded twice in window %s", c.Client, c.Window)
		}
		clients[c.Client] = c
	}
	return clients
}

// agreesAsFar is Agrees for what the proxy has sent, of which a client whose
// connection broke may have received less.
func agreesAsFar(s oracle.Stream, received []byte) error {
	for _, p := range s.Pieces {
		if p.Offset < uint64(len(received)) && !bytes.HasPrefix(p.Payload, received[p.Offset:min(p.Offset+p.Length, uint64(len(received)))]) {
			return fmt.Errorf("%d bytes at offset %d %s differ from what the client received", p.Length, p.Offset, p.Direction)
		}
	}
	return nil
}

// endsRight checks that all is there of a connection that ended well, and its end,
// if the window has lasted long enough for that.
func (u *upgrading) endsRight(v *visit, c *oracle.Connection) error {
	if v.broken {
		return nil
	}
	sent, received := uint64(len(v.Written())), uint64(len(v.WasRead()))
	if c.Closed == nil && v.ended.Before(u.left) || c.In.End() != sent || c.Out.End() != received {
		return fmt.Errorf("the client sent %d bytes and received %d, the record ends at %d and %d with %+v", sent, received, c.In.End(), c.Out.End(), c.Closed)
	}
	return nil
}

// joined checks a connection that has moved. The new process counts its bytes from
// the beginning. What the old process wrote after the move it has passed on to the new
// one. The close line's total leaves those bytes out, and the new process has them.
func (u *upgrading) joined(v *visit, old, next *oracle.Connection) error {
	if old.Closed == nil || old.Closed.Reason != "moved" {
		return fmt.Errorf("the old process does not say that it has moved: %+v", old.Closed)
	}
	sent, received := v.Written(), v.WasRead()
	if v.broken {
		return errors.Join(old.In.Agrees(sent), agreesAsFar(old.Out, received))
	}
	moved, until := old.Closed.TotalIn, old.Closed.TotalOut
	if moved != old.In.End() || until > old.Out.End() || moved > uint64(len(sent)) || until > uint64(len(received)) {
		return fmt.Errorf("the old process has it up to %d and %d, its end says %d and %d, the client %d and %d",
			old.In.End(), old.Out.End(), moved, until, len(sent), len(received))
	}
	if next.In.Begin() != 0 || next.Out.Begin() != 0 || moved+next.In.End() != uint64(len(sent)) || until+next.Out.End() != uint64(len(received)) {
		return fmt.Errorf("the client sent %d bytes and received %d, the old process has %d and %d, the new one %d … %d and %d … %d",
			len(sent), len(received), moved, until, next.In.Begin(), next.In.End(), next.Out.Begin(), next.Out.End())
	}
	u.passedOn += old.Out.End() - until
	return errors.Join(old.In.Agrees(sent), agreesAsFar(old.Out, received[:until]),
		next.In.Agrees(sent[moved:]), next.Out.Agrees(received[until:]))
}

// captureAgrees checks that the window's captures hold what its hex_meta lines do.
func (u *upgrading) captureAgrees(w oracle.Window) {
	t := u.t
	t.Helper()
	d, err := dump.Open([]string{u.dump}, dump.Options{Format: dump.FormatPcapng, Filter: dump.Filter{Window: w.Window}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	streams := map[string]*[2][]byte{}
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != record.KindData {
			continue
		}
		s := streams[r.Conn]
		if s == nil {
			s = &[2][]byte{}
			streams[r.Conn] = s
		}
		s[r.Direction] = append(s[r.Direction], r.Data...)
	}
	lines := map[string]*[2][]byte{}
	for _, c := range u.connections(w) {
		in, errIn := c.In.Bytes()
		out, errOut := c.Out.Bytes()
		if err := errors.Join(errIn, errOut); err != nil {
			t.Error(err)
		}
		lines[c.Conn] = &[2][]byte{record.In: in, record.Out: out}
	}
	same := func(a, b *[2][]byte) bool {
		return bytes.Equal(a[record.In], b[record.In]) && bytes.Equal(a[record.Out], b[record.Out])
	}
	if !maps.EqualFunc(streams, lines, same) {
		t.Errorf("window %s: captures with %d connections differ from lines with %d", w.Window, len(streams), len(lines))
	}
}
