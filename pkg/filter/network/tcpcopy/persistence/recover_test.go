package persistence

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// The environment of a process that is to be killed.
const (
	victimDir    = "TCPCOPY_TEST_VICTIM_DIR"
	victimFormat = "TCPCOPY_TEST_VICTIM_FORMAT"
	victimRun    = "vvvvvv"
)

// What passes in the victim's window.
const (
	victimConnections = 5
	victimMessages    = 400 // of each connection and direction
	victimPaused      = 7   // bytes of each connection and direction that pass while recording pauses
)

// victimMessage is the n-th message of a connection.
func victimMessage(id, n int) []byte {
	return bytes.Repeat([]byte{byte('a' + id), byte('0' + n%10)}, 1+n*n%3000)
}

// beKilled records and has the process killed while much of it is in the batches.
func beKilled(dir string, format Format) {
	config := victimConfig(dir, format)
	store, err := Open(config, Host{Run: victimRun})
	if err != nil {
		panic(err)
	}
	s, err := store.OpenWindow(record.Window{ID: windowID(1), Trigger: record.TriggerManual, Opened: time.Now()})
	if err != nil {
		panic(err)
	}
	var peers []*peer
	for id := range victimConnections {
		peers = append(peers, newPeer(victimRun, id))
	}
	say := func(data func(id int) []byte) {
		for id, p := range peers {
			p.say(s, record.In, data(id))
			p.say(s, record.Out, data(id))
		}
	}
	for n := range victimMessages {
		say(func(id int) []byte { return victimMessage(id, n) })
	}
	s.Pause(record.ReasonGuard) // lost, and not in any batch
	say(func(int) []byte { return make([]byte, victimPaused) })
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func victimConfig(dir string, format Format) Config {
	return Config{
		Dir: filepath.Join(dir, "dump"), Spool: filepath.Join(dir, "spool"),
		Formats: []Format{format}, BufferSize: 32 << 20, Workers: 2,
	}
}

// killVictim runs a process until it has killed itself.
func killVictim(t *testing.T, dir string, format Format, more ...string) {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(append(os.Environ(), victimDir+"="+dir, victimFormat+"="+string(format)), more...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the victim ended with %v: %s", err, out)
	}
}

// What a killed process has accepted is written by whoever comes next, and its
// account has what was lost, too.
func TestAKilledProcessLosesNothing(t *testing.T) {
	for _, format := range []Format{FormatHexMeta, FormatPcapng} {
		t.Run(string(format), func(t *testing.T) {
			dir := t.TempDir()
			killVictim(t, dir, format)
			config := victimConfig(dir, format)
			all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
			if err != nil || len(all) != 1 || all[0].Err != nil {
				t.Fatalf("recovered %+v, %v", all, err)
			}
			var passed []byte
			streams := map[string][]byte{}
			for id := range victimConnections {
				for n := range victimMessages {
					passed = append(passed, victimMessage(id, n)...)
				}
				streams[fmt.Sprintf("%s-%d", victimRun, id)], passed = passed, nil
			}
			w, err := oracle.FindWindow(config.Dir, windowID(1))
			if err != nil {
				t.Fatal(err)
			}
			var written uint64
			for _, s := range streams {
				written += uint64(len(s))
			}
			const lost, records = victimConnections * victimPaused, victimConnections * victimMessages
			if !w.Recovered || w.Connections != victimConnections ||
				w.Written != (oracle.PerDirection{In: written, Out: written}) || w.Lost != (oracle.PerDirection{In: lost, Out: lost}) ||
				w.Records != (oracle.PerDirection{In: records, Out: records}) || w.LostBy["guard"] != 2*lost {
				t.Errorf("the index has %+v, want %d bytes written and %d lost each way", w, written, lost)
			}
			found := map[string][2][]byte{}
			if format == FormatPcapng {
				found = capturedStreams(t, config.Dir)
			} else {
				for _, c := range (&harness{t: t, dir: config.Dir}).connections() {
					in, errIn := c.In.Bytes()
					out, errOut := c.Out.Bytes()
					if err := errors.Join(errIn, errOut); err != nil {
						t.Error(err)
					}
					found[c.Conn] = [2][]byte{in, out}
				}
			}
			for conn, want := range streams {
				for dir, got := range found[conn] {
					if !bytes.Equal(got, want) {
						t.Errorf("%s, direction %d: %d bytes, want the %d that passed", conn, dir, len(got), len(want))
					}
				}
			}
			if len(found) != len(streams) {
				t.Errorf("%d connections, want %d", len(found), len(streams))
			}
			if left, err := filepath.Glob(filepath.Join(config.Spool, "*")); err != nil || len(left) > 0 {
				t.Errorf("left over: %q, %v", left, err)
			}
		})
	}
}

// capturedStreams joins the packets of the victim's capture.
func capturedStreams(t *testing.T, dir string) map[string][2][]byte {
	t.Helper()
	d, err := dump.Open([]string{dir}, dump.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	found := map[string][2][]byte{}
	for {
		r, err := d.Next()
		if err != nil {
			return found
		}
		if r.Kind == record.KindData {
			s := found[r.Conn]
			if uint64(len(s[r.Direction])) != r.Offset {
				t.Errorf("%s: bytes at %d, want %d", r.Conn, r.Offset, len(s[r.Direction]))
			}
			s[r.Direction] = append(s[r.Direction], r.Data...)
			found[r.Conn] = s
		}
	}
}

// A process may be killed when the log has a batch and the account has not: neither
// the batch's records nor the openings of its connections come twice then.
func TestABatchThatTheLogHasIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	config := victimConfig(dir, FormatHexMeta)
	store, err := Open(config, Host{Run: victimRun})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	store.recovering.Wait()
	l := config.sizes()
	spool, fault, err := buffer.NewSpool(config.Spool, store.dir.Folder(), buffer.SpoolHeader{
		Dir: config.Dir, Run: victimRun, Window: windowID(1), Trigger: record.TriggerManual, Opened: time.Now(),
		Formats: formatNames(config.Formats), Workers: l.Shards, Batch: l.Batch,
	}, nil)
	if fault != nil || err != nil {
		t.Fatal(fault, err)
	}
	b := openWorkerHarness(t, store, spool)
	p, q := newPeer(victimRun, 1), newPeer(victimRun, 2)
	b.say(p, record.In, []byte("in the log, "))
	b.pipeline.write(b.shard.Swap())
	b.say(p, record.In, []byte("in the spool"))
	b.say(q, record.Out, []byte("in the spool alone"))
	spool.Leave() // as a killed process does

	all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
	if err != nil || len(all) != 1 || all[0].Err != nil {
		t.Fatalf("recovered %+v, %v", all, err)
	}
	recorded := (&harness{t: t, dir: config.Dir}).connections() // fails where an opening comes twice
	if len(recorded) != 2 {
		t.Fatalf("%d connections", len(recorded))
	}
	p.compare(t, recorded[0])
	q.compare(t, recorded[1])
	if w := all[0].Window; w.Connections != 2 || w.Written.In != 24 || w.Written.Out != 18 || w.Seen != w.Written {
		t.Errorf("the index has %+v", w)
	}
}

// A spool is its own directory's business alone: another one's recovery leaves it
// and says nothing, also when the directory is gone. When that is there again, it is
// recovered as any other.
func TestASpoolIsLeftToItsDirectory(t *testing.T) {
	dir := t.TempDir()
	killVictim(t, dir, FormatHexMeta)
	config := victimConfig(dir, FormatHexMeta)
	if err := os.RemoveAll(config.Dir); err != nil {
		t.Fatal(err)
	}
	other := config
	other.Dir = t.TempDir()
	all, err := Recover(other, Host{Run: "aaaaaa"})
	if err != nil || len(all) != 0 {
		t.Errorf("recovered %+v, %v", all, err)
	}
	if err := os.Mkdir(config.Dir, logdir.DirMode); err != nil {
		t.Fatal(err)
	}
	all, err = Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
	if err != nil || len(all) != 1 || all[0].Err != nil || all[0].Window.Written.In == 0 {
		t.Errorf("recovered %+v, %v", all, err)
	}
}
