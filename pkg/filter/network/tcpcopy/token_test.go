package tcpcopy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"mosn.io/tcpcopy/internal/openfile"
)

func withToken(token string) func(*http.Request) {
	return func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+token) }
}

// A token file that cannot be read refuses everybody, and says why to none; the next good
// one counts at once.
func TestATokenFileThatCannotBeReadRefuses(t *testing.T) {
	for what, create := range unfit() {
		t.Run(what, func(t *testing.T) {
			h := newHarness(t, object{})
			path := filepath.Join(t.TempDir(), "t")
			create(t, path)
			a := &admin{recorder: h.recorder}
			block, err := json.Marshal(object{"token_file": path, "app": object{"switch": "ON", "interval": 77, "duration": 5}})
			if err != nil {
				t.Fatal(err)
			}
			// A pipe may be in the file's stead for a moment: the rest of the block is in force.
			accepted := strings.Contains(what, "pipe") || strings.Contains(what, "socket")
			if err := h.recorder.extend(a, block); (err == nil) != accepted || (h.interval() == 77) != accepted {
				t.Errorf("%v, interval %d", err, h.interval())
			}
			put := func(token string) int {
				code, answer, _ := h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig, withToken(token))
				if reason, _ := answer["error"].(string); strings.Contains(reason, path) {
					t.Errorf("it says %q", reason)
				}
				return code
			}
			if code := put(""); code != 403 {
				t.Errorf("without a token: %d", code)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, "sesame")
			if code := put("sesame"); code != 200 {
				t.Errorf("with the token: %d", code)
			}
			if code := put(""); code != 401 {
				t.Errorf("without it: %d", code)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(path + ".pipe")
			create(t, path)
			if code := put("sesame"); code != 403 {
				t.Errorf("with the token that was good: %d", code)
			}
		})
	}
}

// A block that is refused for another reason does not open what its token file guards.
func TestARefusedBlockStillAsksForItsToken(t *testing.T) {
	h := newHarness(t, object{})
	a := &admin{recorder: h.recorder}
	path := filepath.Join(t.TempDir(), "t")
	write(t, path, "sesame")
	block, err := json.Marshal(object{"token_file": path, "app": object{"interval": 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.recorder.extend(a, block); err == nil {
		t.Fatal("it is accepted")
	}
	for token, want := range map[string]int{"": 401, "sesame": 200} {
		if code, _, _ := h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig, withToken(token)); code != want {
			t.Errorf("token %q: %d, want %d", token, code, want)
		}
	}
}

// While the file does not answer, the token is the one that it had when it did; requests
// do not wait, and there is one reading whatever their number.
func TestRequestsDoNotWaitForAHangingTokenFile(t *testing.T) {
	h := newHarness(t, object{})
	answer := make(chan string)
	var readings atomic.Int64
	source := openfile.NewSource("/the/token", func() ([]byte, error) {
		readings.Add(1)
		return []byte(<-answer), nil
	})
	a := &admin{recorder: h.recorder}
	a.token.Store(source)
	many := func(token string) (codes map[int]int) {
		codes = map[int]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 1000 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				req := httptest.NewRequest(http.MethodPut, "/api/v1/tcpcopy/config?layer=app", strings.NewReader(goodConfig))
				withToken(token)(req)
				w := httptest.NewRecorder()
				a.config(w, req)
				mu.Lock()
				defer mu.Unlock()
				codes[w.Code]++
			}()
		}
		wg.Wait()
		return codes
	}
	if codes := many("sesame"); codes[503] != 1000 {
		t.Errorf("before the first answer: %v", codes)
	}
	if n := readings.Load(); n != 1 {
		t.Errorf("%d readings for 1000 requests", n)
	}
	answer <- "sesame" // to those who have gone
	answer <- "sesame" // and to those who came meanwhile
	eventually(t, "the token", func() bool { text, _, _ := source.Last(); return string(text) == "sesame" })
	// It hangs again.
	if codes := many("sesame"); codes[200] != 1000 {
		t.Errorf("with the token that it had: %v", codes)
	}
	if codes := many("wrong"); codes[401] != 1000 {
		t.Errorf("with another token: %v", codes)
	}
	if n := readings.Load(); n > 4 {
		t.Errorf("%d readings", n)
	}
	close(answer)
}

// A request that comes after the token has been replaced needs the new one.
func TestAReplacedTokenCountsAtOnce(t *testing.T) {
	h := newHarness(t, object{})
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	a := &admin{recorder: h.recorder}
	a.token.Store(openfile.NewFileSource(path, maxToken))
	put := func(token string) int {
		code, _, _ := h.request(a, "PUT", "/api/v1/tcpcopy/config?layer=app", goodConfig, withToken(token))
		return code
	}
	// As the kubelet does, and as a rename does.
	for i, token := range []string{"one", "two", "three"} {
		version := filepath.Join(dir, "..v"+token)
		if err := os.Mkdir(version, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(version, "token"), token)
		if err := os.Symlink(version, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Symlink("..data/token", path); err != nil {
				t.Fatal(err)
			}
		}
		if code := put(token); code != 200 {
			t.Errorf("%s: %d", token, code)
		}
		if code := put("zero"); code != 401 {
			t.Errorf("another one: %d", code)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := put("three"); code != 403 {
		t.Errorf("a pipe: %d", code)
	}
}
