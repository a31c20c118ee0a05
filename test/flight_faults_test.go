package test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
)

// What befalls the disk during a capture costs what that capture cannot keep, counted, and
// nothing else: the traffic goes on, the ring goes on, and the capture after it is exact.
func TestADiskInTroubleCostsACaptureOnly(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make the troubles")
	}
	const nobody = 65534
	base, address := newBase(t), freeAddress(t)
	disk := mountFreezable(t, base)
	dir := filepath.Join(disk.dir, "dump")
	worked(t, os.Chmod(base, 0o755), os.Chown(disk.dir, nobody, nobody))
	spools := spoolFolder(t)
	worked(t, os.Chown(spools, nobody, nobody))
	m := startSpec(t, mosnproc.Spec{Base: base, Account: &syscall.Credential{Uid: nobody, Gid: nobody}},
		configOf(upstream(t, echo), mosnproc.NewListener("tcp", address, recorder(base, flightBlock("2MiB", nil), block{
			"output": block{"dir": dir, "formats": []string{"hex_meta", "pcapng"}, "roll": "size=1 keep=10000", "min_free": "0", "max_total": "0"},
			"buffer": block{"spool": spools},
		}), mosnproc.TCPProxy())))
	m.dump = dir
	m.ringOpen()
	clients := newVisitors(t)
	const pace = 20 * time.Millisecond
	clients.visit(12, manner{kind: "TCP", address: address, pace: pace, send: sendEcho})
	clients.visit(4, manner{kind: "short TCP", address: address, pace: pace, most: 5, send: sendEcho})
	exact := func(what string) {
		t.Helper()
		w := m.finished(m.capture("?scope=process&before=1s&after=200ms"))
		complete(t, w)
		if w.Written.In == 0 {
			t.Errorf("%s: the capture is empty", what)
		}
		m.keptAgrees(w, clients.visitsSoFar())
		for _, format := range readAs { // lines of another capture may be gone
			m.decoded(w, format)
		}
	}
	exact("before all")
	for _, trouble := range []struct {
		name      string
		begin     func() (end func())
		forgotten bool // the capture's files may be gone
	}{
		{"the disk hangs", func() func() {
			disk.freeze()
			return func() { disk.thaw() }
		}, false},
		{"the disk is full", func() func() { return newBallast(t, disk.dir, 1).drop }, false},
		{"the directory may not be written to", func() func() {
			worked(t, os.Chmod(dir, 0o500))
			return func() { worked(t, os.Chmod(dir, 0o700)) }
		}, false},
		{"the directory is removed", func() func() {
			return func() {
				for range 3 { // the recorder may write meanwhile
					if os.RemoveAll(dir) == nil {
						break
					}
				}
			}
		}, true},
	} {
		t.Logf("%s: %s", time.Now().Format(time.StampMilli), trouble.name)
		end := trouble.begin()
		id := m.capture("?scope=process&before=1s&after=1h")
		messages, evicted := clients.messages(), m.flight().Flight.EvictedBytes
		eventually(t, "the ring goes on, and so does the traffic", func() bool {
			return m.flight().Flight.EvictedBytes > evicted+4<<20 && clients.messages() > messages+500
		})
		end()
		worked(t, m.Admin.Configure(deadline(t), "global", `{"switch":"FORCE_OFF"}`)) // which ends the capture
		if !trouble.forgotten {
			w := m.finished(id)
			if trouble.name != "the directory may not be written to" && w.Lost == (oracle.PerDirection{}) {
				t.Errorf("%s: nothing is lost: seen %+v, written %+v", trouble.name, w.Seen, w.Written)
			}
			t.Logf("%s: seen %+v, lost %+v by %v", trouble.name, w.Seen, w.Lost, w.LostBy)
			// One format may have more than the other, and what both have counts.
			if got := m.kept(w, clients.visitsSoFar()); got.In < w.Written.In || got.Out < w.Written.Out {
				t.Errorf("%s: the files hold %+v bytes, the index says %+v", trouble.name, got, w.Written)
			}
		}
		worked(t, m.Admin.Configure(deadline(t), "global", `{"switch":"OFF"}`))
		m.ringOpen()
		messages = clients.messages()
		eventually(t, "the ring has something", func() bool { return clients.messages() > messages+200 })
		exact("after " + trouble.name)
	}
	clients.leave()
	if len(clients.faults) > 0 {
		t.Errorf("the clients have noticed: %v", clients.faults)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Mode&0o777 != 0o700 {
		t.Errorf("the directory has mode %o: %v", st.Mode, err)
	}
}

// visitsSoFar returns the connections so far.
func (v *visitors) visitsSoFar() []*visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*visit(nil), v.visits...)
}
