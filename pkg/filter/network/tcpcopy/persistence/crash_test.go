package persistence

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/clock"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// streamsOf returns, by connection and direction, what a window has, and where that begins.
func streamsOf(t *testing.T, dir, window string) (streams map[string]string, begins map[string]uint64) {
	t.Helper()
	// Where there are two formats, a reader prefers one of them.
	d, err := dump.Open([]string{dir}, dump.Options{Filter: dump.Filter{Window: window}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	streams, begins = map[string]string{}, map[string]uint64{}
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			return streams, begins
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Kind != record.KindData {
			continue
		}
		key := fmt.Sprint(r.Conn, r.Direction)
		if _, ok := streams[key]; !ok {
			begins[key] = r.Offset
		}
		if at := begins[key] + uint64(len(streams[key])); at != r.Offset {
			t.Fatalf("%s: a record at %d, want %d", key, r.Offset, at)
		}
		streams[key] += string(r.Data)
	}
}

// What the ring of a killed process held becomes a window: of each connection a stretch that
// ends with the last byte. A capture that was open is completed.
func TestTheRingOfAKilledProcess(t *testing.T) {
	for _, formats := range [][]Format{{FormatHexMeta}, {FormatPcapng}, {FormatHexMeta, FormatPcapng}} {
		for _, tries := range []int{1, 2} {
			t.Run(fmt.Sprint(formats, tries), func(t *testing.T) {
				config := crashConfig(t)
				config.Formats = formats
				store, err := open(config, Host{Run: victimRun, Clock: clock.System()})
				if err != nil {
					t.Fatal(err)
				}
				f, err := store.OpenFlight(FlightOptions{Size: 2 << 20, Crash: true, Window: windowID(9)})
				if err != nil {
					t.Fatal(err)
				}
				peers := []*peer{newPeer(victimRun, 1), newPeer(victimRun, 2), newPeer(victimRun, 3)}
				pass := func(messages int) {
					for n := range messages {
						for id, p := range peers {
							p.sayTo(f.Ring, record.In, victimMessage(id, n))
							p.sayTo(f.Ring, record.Out, victimMessage(id, n))
						}
					}
				}
				pass(victimMessages)
				from := time.Now()
				capture, err := f.OpenCapture(record.Window{ID: windowID(1), Trigger: record.TriggerFlight, Opened: from, Cause: &record.Cause{Trigger: "errors", Time: from}}, Scope{Conn: peers[1].id})
				if err != nil {
					t.Fatal(err)
				}
				before := peers[1].before()
				pass(20)
				for capture.Accounts().Written.In == 0 {
					<-time.After(time.Millisecond)
				}
				pass(20)
				kill(f, capture)

				index := filepath.Join(config.Dir, layout.Index)
				if tries == 2 {
					if err := os.Mkdir(index, logdir.DirMode); err != nil {
						t.Fatal(err)
					}
					if all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()}); err != nil || len(all) != 2 || all[0].Err == nil || all[1].Err == nil {
						t.Fatalf("recovered %+v, %v", all, err)
					}
					if err := os.Remove(index); err != nil {
						t.Fatal(err)
					}
				}
				all, err := Recover(config, Host{Run: "aaaaaa", Clock: clock.System()})
				if err != nil || len(all) != 2 || all[0].Err != nil || all[1].Err != nil {
					t.Fatalf("recovered %+v, %v", all, err)
				}
				for _, r := range all {
					if w := r.Window; w.Seen != w.Written || !w.Recovered || w.Closed.Before(w.Opened) || w.Written == (record.PerDirection{}) {
						t.Errorf("the index has %+v", w)
					}
				}
				if w := all[0].Window; w.Trigger != record.TriggerFlight || w.Cause == nil || w.Cause.Trigger != "errors" {
					t.Errorf("the capture has %+v", w)
				}
				if w := all[1].Window; w.Trigger != record.TriggerCrash || !w.Opened.After(f.begun) || w.Connections != 3 {
					t.Errorf("the ring has %+v", w)
				}
				streams, begins := streamsOf(t, config.Dir, windowID(9))
				for _, p := range peers {
					for _, dir := range record.Directions() {
						key := fmt.Sprint(p.id, dir)
						if want := string(p.passed[dir]); !strings.HasSuffix(want, streams[key]) || begins[key]+uint64(len(streams[key])) != uint64(len(want)) || len(streams[key]) < 1000 {
							t.Errorf("%s: %d bytes from %d on, of %d", key, len(streams[key]), begins[key], len(want))
						}
					}
				}
				streams, begins = streamsOf(t, config.Dir, windowID(1))
				for _, dir := range record.Directions() {
					key := fmt.Sprint(peers[1].id, dir)
					if want := string(peers[1].passed[dir][before.Of(dir):]); streams[key] != want || begins[key] != before.Of(dir) {
						t.Errorf("%s: the capture has %d bytes from %d on, want %d from %d on", key, len(streams[key]), begins[key], len(want), before.Of(dir))
					}
				}
				if len(streams) != 2 {
					t.Errorf("the capture has %d streams", len(streams))
				}
			})
		}
	}
}

// kill leaves what a killed process leaves of a ring and the sessions that read it.
func kill(f *Flight, sessions ...*Session) {
	for _, s := range sessions {
		close(s.stop)
		s.workers.Wait()
		s.hangs.end()
	}
	close(f.stop)
	f.keepers.Wait()
	f.spool.Leave()
}
