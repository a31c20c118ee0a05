package persistence

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/buffer"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
	"mosn.io/tcpcopy/pkg/record"
)

// victimPoint is where a process is killed, or "" for the course of beKilled.
const victimPoint = "TCPCOPY_TEST_VICTIM_POINT"

// The points at which victims are killed, in the course of one window.
const (
	pointOpened  = "opened"   // before any traffic
	pointIdle    = "idle"     // when all is written, and a while later
	pointRolling = "rolling"  // when the log is renamed, and the new one has nothing yet
	pointPlanned = "planned"  // just before that
	pointClosing = "closing"  // when the window is closed, and its line is not written
	pointRefused = "refused"  // when the index cannot be written, and the store is closed
	pointWritten = "ordinary" // when the window and the store are closed as others are
)

// victimIdle is how long a victim lives on without traffic.
const victimIdle = 500 * time.Millisecond

// pass returns when so much time has passed.
func pass(d time.Duration) { <-time.NewTimer(d).C }

// beKilledAt records one window, and has the process killed at a point of its course.
func beKilledAt(dir string, format Format, point string) {
	config := victimConfig(dir, format)
	config.Roll.Size = 64 << 10
	store, err := Open(config, Host{Run: victimRun})
	if err != nil {
		panic(err)
	}
	die := func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	s, err := store.OpenWindow(record.Window{ID: windowID(1), Trigger: record.TriggerManual, Opened: time.Now()})
	if err != nil {
		panic(err)
	}
	if point == pointOpened {
		pass(victimIdle)
		die()
	}
	for id := range victimConnections {
		p := newPeer(victimRun, id)
		for n := range 40 {
			p.say(s, record.In, victimMessage(id, n))
			p.say(s, record.Out, victimMessage(id, n))
		}
		p.slip(s, record.Out, make([]byte, victimPaused))
	}
	if _, err := s.Portrait("RPC", "2045", func() ([]byte, error) { return []byte("{}"), nil }); err != nil {
		panic(err)
	}
	idle := func() bool {
		a := s.Accounts()
		return a.Seen.In == a.Written.In+a.Lost.In && a.Seen.Out == a.Written.Out+a.Lost.Out && len(s.portraits) == 0
	}
	for !idle() {
		pass(time.Millisecond)
	}
	pass(victimIdle)
	switch point {
	case pointIdle:
		die()
	case pointPlanned, pointRolling:
		// As rollLocked does, up to a moment.
		stored := s.contents.stored().Logs[layout.FlowLog]
		archive := layout.Archive(layout.FlowLog, time.Now())
		stored.Names = append(slices.DeleteFunc(stored.Names, func(n string) bool { return n == layout.FlowLog }), archive, layout.FlowLog)
		s.contents.setFiles(layout.FlowLog, stored)
		if point == pointRolling {
			if err := os.Rename(filepath.Join(config.Dir, layout.FlowLog), filepath.Join(config.Dir, archive)); err != nil {
				panic(err)
			}
		}
		die()
	case pointClosing:
		store.portraits.Pause()
		go s.Close(time.Now())
		for s.contents.state.Closed() == 0 {
			pass(time.Millisecond)
		}
		pass(victimIdle) // which is no time of the window
		die()
	default:
		if point == pointRefused {
			if err := os.Mkdir(filepath.Join(config.Dir, layout.Index), logdir.DirMode); err != nil {
				panic(err)
			}
		}
		s.Close(time.Now())
		pass(victimIdle)
		store.Close()
		die()
	}
}

// recoverVictim recovers what a victim has left and returns the line of its window.
func recoverVictim(t *testing.T, config Config) oracle.Window {
	t.Helper()
	if info, err := os.Stat(filepath.Join(config.Dir, layout.Index)); err == nil && info.IsDir() {
		if err := os.Remove(filepath.Join(config.Dir, layout.Index)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Recover(config, Host{Run: "aaaaaa"})
	if err != nil || len(all) > 1 || len(all) == 1 && all[0].Err != nil {
		t.Fatalf("recovered %+v, %v", all, err)
	}
	w, err := oracle.FindWindow(config.Dir, windowID(1))
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(config.Spool, "*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
	return w
}

// kindsOf returns what kinds of files there are, each once, in their order.
func kindsOf(files []string) (kinds []string) {
	for _, name := range files {
		kind, _, _ := strings.Cut(strings.TrimSuffix(name, filepath.Ext(name)), "-")
		if _, ok := layout.ParseSegment(name); ok {
			kind = "segment"
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// recordsIn returns the names of the files in a directory that have something of a
// window, sorted.
func recordsIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if layout.IsOurs(e.Name()) && !layout.IsIndex(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// The line of a killed process is that of one which was not: each field is compared.
func TestARecoveredLineIsAsTrueAsAnOrdinaryOne(t *testing.T) {
	for _, format := range []Format{FormatHexMeta, FormatPcapng} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			victim := func(point string) (oracle.Window, Config) {
				dir := t.TempDir()
				killVictim(t, dir, format, victimPoint+"="+point)
				config := victimConfig(dir, format)
				return recoverVictim(t, config), config
			}
			want, _ := victim(pointWritten)
			if want.Recovered || len(want.Files) < 3 || want.Lost.Out == 0 {
				t.Fatalf("an ordinary line: %+v", want)
			}
			for _, point := range []string{pointIdle, pointPlanned, pointRolling, pointClosing, pointRefused} {
				if format == FormatPcapng && (point == pointPlanned || point == pointRolling) {
					continue
				}
				got, config := victim(point)
				length := got.Closed.Sub(got.Opened)
				if length < victimIdle-200*time.Millisecond || length > want.Closed.Sub(want.Opened)+20*time.Second {
					t.Errorf("%s: the window is %v long", point, length)
				}
				// Both are idle for the same time: what comes after the closing does not count.
				if point == pointClosing && got.Closed.After(time.Now().Add(-victimIdle)) {
					t.Errorf("%s: closed at %v", point, got.Closed)
				}
				same(t, point+": ports", got.Ports, want.Ports)
				same(t, point+": kinds of files", kindsOf(got.Files), kindsOf(want.Files))
				same(t, point+": files", slices.Sorted(slices.Values(got.Files)), recordsIn(t, config.Dir))
				same(t, point+": removed", got.Removed, nil)
				if !got.Recovered || got.Trigger != want.Trigger || got.Run != want.Run || got.Connections != want.Connections || got.Records != want.Records ||
					got.Seen != want.Seen || got.Written != want.Written || got.Lost != want.Lost || fmt.Sprint(got.LostBy) != fmt.Sprint(want.LostBy) {
					t.Errorf("%s: %+v\nwant %+v", point, got, want)
				}
			}
			empty, _ := victim(pointOpened)
			if length := empty.Closed.Sub(empty.Opened); length < victimIdle-200*time.Millisecond || len(empty.Files)+len(empty.Ports) != 0 || empty.Files == nil || empty.Ports == nil || empty.Seen.In != 0 {
				t.Errorf("without traffic: %+v", empty)
			}
		})
	}
}

// A process may be killed between the line of its window and the removal of the spool:
// the line does not come twice.
func TestALineThatIsThereIsNotRecoveredAgain(t *testing.T) {
	dir := t.TempDir()
	killVictim(t, dir, FormatHexMeta, victimPoint+"="+pointIdle)
	config := victimConfig(dir, FormatHexMeta)
	saved := map[string][]byte{}
	for _, pattern := range []string{filepath.Join(config.Spool, "*"), filepath.Join(config.Dir, layout.SpoolPointerPrefix+"*")} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) != 1 {
			t.Fatalf("%q, %v", files, err)
		}
		if saved[files[0]], err = os.ReadFile(files[0]); err != nil {
			t.Fatal(err)
		}
	}
	first := recoverVictim(t, config)
	before, err := os.ReadFile(filepath.Join(config.Dir, layout.FlowLog))
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range saved {
		if err := os.WriteFile(path, text, logdir.FileMode); err != nil {
			t.Fatal(err)
		}
	}
	again := recoverVictim(t, config) // which refuses a window that comes twice
	if fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("%+v, then %+v", first, again)
	}
	if after, err := os.ReadFile(filepath.Join(config.Dir, layout.FlowLog)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the log has %d bytes and had %d, %v", len(after), len(before), err)
	}
}

// The spool of the release before is recovered as that release did it.
func TestASpoolOfTheReleaseBeforeIsRecovered(t *testing.T) {
	dir := t.TempDir()
	killVictim(t, dir, FormatHexMeta)
	config := victimConfig(dir, FormatHexMeta)
	spools, err := filepath.Glob(filepath.Join(config.Spool, "*"))
	if err != nil || len(spools) != 1 {
		t.Fatalf("%q, %v", spools, err)
	}
	text, err := os.ReadFile(spools[0])
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Replace(text, []byte(`"version":4`), []byte(`"version":3`), 1)
	if bytes.Equal(old, text) {
		t.Fatal("the version is not in the header")
	}
	if err := os.WriteFile(spools[0], old, logdir.FileMode); err != nil {
		t.Fatal(err)
	}
	w := recoverVictim(t, config)
	if w.Written.In == 0 || w.LostBy["guard"] != 2*victimConnections*victimPaused || !w.Recovered {
		t.Errorf("the index has %+v", w)
	}
}

// What is in a spool is believed only as far as the recorder writes such things.
func TestContentsOfADamagedSpool(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":   "",
		"no JSON":   `{"ports":["2045"`,
		"bad names": `{"ports":["2045"],"logs":{"dump_tcp_copy.log":{"Names":["../../etc/passwd","x.log","dump_tcp_copy.log","dump_portrait_data.log"]},"passwd":{"Names":["passwd"]}},"segments":-5}`,
		"many":      `{"ports":["` + strings.Repeat(`x","`, 20_000) + `"]}`,
	} {
		c := newContents(&buffer.WindowState{})
		c.state.SetText([]byte(text))
		c.load()
		s := c.stored()
		for log, files := range s.Logs {
			if log != layout.FlowLog || !slices.Equal(files.Names, []string{layout.FlowLog}) {
				t.Errorf("%s: %s has %q", name, log, files.Names)
			}
		}
		if s.Segments != 0 || len(s.Ports) > maxPorts {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// Of very many ports and files the line has some, says how many there are more, and is
// the same in a recovery.
func TestManyPortsAndFilesFit(t *testing.T) {
	state := &buffer.WindowState{}
	c := newContents(state)
	const ports = 5000
	for n := range ports {
		c.addPort(fmt.Sprint(10000 + n))
		c.addPort(fmt.Sprint(10000 + n))
	}
	for _, log := range []string{layout.FlowLog, layout.PortraitLog, layout.EffectiveConfigs, layout.StaticConfigs} {
		var files logdir.FileNames
		for n := range 256 {
			files.Names = append(files.Names, layout.Archive(log, time.Date(2024, 5, 6, 7, 8, 9, n*1e6, time.Local)))
		}
		c.setFiles(log, files)
	}
	named, leftOut := c.ports()
	if len(named)+leftOut != ports || len(named) < 1000 {
		t.Errorf("%d ports and %d more, want %d", len(named), leftOut, ports)
	}
	dead := newContents(state)
	dead.load()
	if fmt.Sprint(dead.stored()) != fmt.Sprint(c.stored()) {
		t.Errorf("of %d ports and %d files of the flow log, %d and %d are stored", len(c.Ports), len(c.Logs[layout.FlowLog].Names), len(dead.Ports), len(dead.Logs[layout.FlowLog].Names))
	}
	// Even where that is too much, the last names are there.
	long := logdir.FileNames{Names: []string{strings.Repeat("x", buffer.MaxWindowText), layout.Archive(layout.FlowLog, time.Now()), layout.FlowLog}}
	c.setFiles(layout.FlowLog, long)
	dead = newContents(state)
	dead.load()
	if got := dead.stored().Logs[layout.FlowLog]; got.LeftOut == 0 || got.Names[len(got.Names)-1] != layout.FlowLog {
		t.Errorf("%d names are stored, and %d more", len(got.Names), got.LeftOut)
	}
}
