package test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

const forceOff = `{"global":{"switch":"FORCE_OFF"}}`

// The process serves whatever its token file and its watched file are when it starts, and good
// files come into force when they are there.
func TestMosnServesWithFilesThatWouldBeWaitedFor(t *testing.T) {
	t.Parallel()
	for name, makeFile := range map[string]func(t *testing.T, path string){
		"named pipe": func(t *testing.T, path string) { mkfifo(t, path) },
		"hanging mount": func(t *testing.T, path string) {
			replaceWithLink(t, filepath.Join(hangingMount(t), "file"), path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := newBase(t)
			token, watched := inFolder(t, base, "token"), inFolder(t, base, "switch.json")
			makeFile(t, token)
			makeFile(t, watched)
			m, address := extended(t, base, block{"token_file": token, "watch": watched, "app": block{"switch": "ON", "interval": 3000, "duration": 1}})
			sendOnce(t, address, "it serves")
			ctx, client := deadline(t), &http.Client{}
			defer client.CloseIdleConnections()
			// The block is in force, and nobody may do what needs the token.
			if on := mustStatus(ctx, t, m).Switch.Effective; on != "ON" {
				t.Errorf("the switch is %s", on)
			}
			window := m.Admin.URL(windowPath + "?seconds=1")
			if code := request(ctx, client, http.MethodPost, window, bearer("sesame")); code != http.StatusForbidden && code != http.StatusServiceUnavailable {
				t.Errorf("without the token file: %d", code)
			}
			replaceFile(t, watched, forceOff)
			replaceFile(t, token, "sesame")
			if name == "hanging mount" {
				return // the reading that hangs goes on
			}
			eventually(t, "the watched file is in force", func() bool { return mustStatus(ctx, t, m).Switch.Effective == "OFF" })
			for header, want := range map[string]int{"sesame": http.StatusConflict, "open": http.StatusUnauthorized} { // 409: FORCE_OFF
				if code := request(ctx, client, http.MethodPost, window, bearer(header)); code != want {
					t.Errorf("token %s: %d, want %d", header, code, want)
				}
			}
		})
	}
}

// Requests do not hold a thread each, whatever becomes of the token file.
func TestRequestsHoldNoThreads(t *testing.T) {
	t.Parallel()
	const requests, callers = 10000, 200
	base := newBase(t)
	token := inFolder(t, base, "token")
	replaceFile(t, token, "sesame")
	m, address := extended(t, base, block{"token_file": token})
	ctx, client := deadline(t), &http.Client{}
	defer client.CloseIdleConnections()
	window := m.Admin.URL(windowPath)
	check := func(what string, want map[int]int) {
		t.Helper()
		before := m.threads()
		got := m.flood(callers, requests, http.MethodDelete, windowPath)
		if after := m.threads(); after > before+50 {
			t.Errorf("%s: %d threads, then %d", what, before, after)
		}
		for code, n := range got {
			if want[code] != n {
				t.Errorf("%s: answers %v, want %v", what, got, want)
			}
		}
		sendOnce(t, address, what)
	}
	check("a good file", map[int]int{http.StatusUnauthorized: requests})

	replaceWithLink(t, mkfifo(t, token+".pipe"), token)
	check("a named pipe", map[int]int{http.StatusForbidden: requests})

	replaceFile(t, token, "mustard")
	if code := request(ctx, client, http.MethodDelete, window, bearer("mustard")); code != http.StatusNotFound { // no window
		t.Errorf("the next token: %d", code)
	}

	// Last, because what waits for the mount waits until the test ends. The token that
	// the file had counts meanwhile.
	replaceWithLink(t, filepath.Join(hangingMount(t), "token"), token)
	check("a hanging mount", map[int]int{http.StatusUnauthorized: requests})
	if code := request(ctx, client, http.MethodDelete, window, bearer("mustard")); code != http.StatusNotFound {
		t.Errorf("the token of before: %d", code)
	}
}

// A dump directory on a mount that hangs holds one thread, and the traffic of no listener.
func TestAHangingDumpDirectoryHoldsOneThread(t *testing.T) {
	t.Parallel()
	const listeners = 20
	base, mount := newBase(t), hangingMount(t)
	hanging := block{"output": block{"dir": filepath.Join(mount, "dump"), "formats": []string{"hex_meta"}}}
	config := configOf(upstream(t, echo))
	var addresses []string
	for i := range listeners {
		addresses = append(addresses, freeAddress(t))
		config.Servers[0].Listeners = append(config.Servers[0].Listeners,
			mosnproc.NewListener(fmt.Sprint("tcp", i), addresses[i], recorder(base, hanging), mosnproc.TCPProxy()))
	}
	// Within the time that one of them waits for the directory, and not twenty.
	m := start(t, base, config)
	for _, address := range addresses {
		sendOnce(t, address, "it serves")
	}
	if n := len(mustStatus(deadline(t), t, m).Refused); n != listeners {
		t.Errorf("%d listeners are refused", n)
	}
	if n := m.threads(); n > 30 {
		t.Errorf("%d threads", n)
	}
}

// Named pipes under the recorder's own names, and pointers to spools that are none, cost
// what would have been written there, and nothing else.
func TestNamedPipesInTheDumpDirectoryHoldNobodyUp(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	dir := dumpDir(base)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{
		layout.FlowLog, layout.Index, layout.PortraitLog, layout.EffectiveConfigs, layout.StaticConfigs,
		layout.Index + layout.TemporaryExtension, "dump_tcp_copy-2024-05-06T07-08-09.000.log", "dump_tcp_copy-2024-05-06T07-08-08.000.log.gz.tmp",
		layout.SpoolPointerPrefix + "pipe",
	} {
		mkfifo(t, in(name))
	}
	for name, size := range map[string]int64{"gigabytes": 8 << 30, "page": 4097, "empty": 0} {
		if err := os.WriteFile(in(layout.SpoolPointerPrefix+name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(in(layout.SpoolPointerPrefix+name), size); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"to-pipe": mkfifo(t, filepath.Join(base, "pipe")), "to-zero": "/dev/zero", "to-folder": base, "to-tty": "/dev/tty", "to-itself": in(layout.SpoolPointerPrefix + "to-itself")} {
		if err := os.WriteFile(in(layout.SpoolPointerPrefix+name), []byte(target+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, address := echoMosn(t, base, block{"output": block{"dir": dir, "formats": []string{"hex_meta", "pcapng"}, "roll": "size=1 keep=2"}})
	before := m.threads()
	for range 3 {
		id := m.open()
		sendOnce(t, address, "recorded in segments alone")
		if err := m.Admin.CloseWindow(deadline(t)); err != nil {
			t.Fatalf("window %s: %v", id, err)
		}
	}
	if n := m.threads(); n > before+20 {
		t.Errorf("%d threads, then %d", before, n)
	}
	if peak, err := m.PeakMemory(); err != nil || peak > 1<<30 {
		t.Errorf("%d bytes of memory, %v", peak, err)
	}
	if segments, err := filepath.Glob(in("*" + layout.SegmentExtension)); err != nil || len(segments) != 3 {
		t.Errorf("segments %q, %v", segments, err)
	}
	if log := m.Log(); !strings.Contains(log, layout.FlowLog) || !strings.Contains(log, "recover: "+in(layout.SpoolPointerPrefix)) { // one alert of a kind
		t.Error("the log does not name the files that cannot be written or read")
	}
}
