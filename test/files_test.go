package test

import (
	"net/http"
	"path/filepath"
	"testing"
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

// A dump directory on a mount that hangs costs its window, and one thread.
func TestAHangingDumpDirectoryHoldsOneThread(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	link := filepath.Join(hangingMount(t), "dump")
	m, address := echoMosn(t, base, block{"output": block{"dir": link}})
	sendOnce(t, address, "it serves")
	before := m.threads()
	answers := m.flood(50, 500, http.MethodGet, "/api/v1/tcpcopy/stream")
	if answers[http.StatusServiceUnavailable]+answers[http.StatusOK] != 500 {
		t.Errorf("answers %v", answers)
	}
	if after := m.threads(); after > before+20 {
		t.Errorf("%d threads, then %d", before, after)
	}
	sendOnce(t, address, "it still does")
}
