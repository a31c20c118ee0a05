package persistence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/dump/layout"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// portraitLines returns the lines of the portrait log without their time.
func portraitLines(t *testing.T, dir string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, layout.PortraitLog))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		_, rest, _ := strings.Cut(line, " [INFO] ")
		lines = append(lines, rest)
	}
	return lines
}

func TestOnePortraitPerWindowAndType(t *testing.T) {
	r := newHarness(t, nil, nil)
	give := func(s *Session, business model.BusinessType, text string) bool {
		t.Helper()
		accepted, err := s.Portrait(business, "2045", func() ([]byte, error) { return []byte(text), nil })
		if err != nil {
			t.Error(err)
		}
		return accepted
	}
	var closed *Session
	w := r.window(1, func(s *Session) {
		closed = s
		if !give(s, model.RPC, `{"n":1}`) || give(s, model.RPC, `{"n":2}`) || !give(s, model.STATE, `[]`) {
			t.Error("not one of each type")
		}
	})
	if give(closed, model.CONFIGURATION, `{}`) {
		t.Error("accepted after the window")
	}
	r.window(2, func(s *Session) {
		if !give(s, model.RPC, `{"n":3}`) {
			t.Error("refused in the next window")
		}
	})
	same(t, "log", portraitLines(t, r.dir), []string{
		"[" + windowID(1) + `][RPC][2045]{"n":1}`,
		"[" + windowID(1) + `][STATE][2045][]`,
		"[" + windowID(2) + `][RPC][2045]{"n":3}`,
	})
	if !slices.Contains(w.Files, layout.PortraitLog) {
		t.Errorf("index %+v", w)
	}
}

// Of many at once, one is accepted; those that fail to render leave the place free.
func TestPortraitsAtOnce(t *testing.T) {
	r := newHarness(t, nil, nil)
	s := r.open(1)
	var accepted, failed atomic.Int32
	var talk sync.WaitGroup
	for i := range 50 {
		talk.Add(1)
		go func() {
			defer talk.Done()
			ok, err := s.Portrait(model.RPC, "", func() ([]byte, error) {
				if i%2 == 0 {
					return nil, errors.New("no rendering")
				}
				return fmt.Append(nil, i), nil
			})
			if ok {
				accepted.Add(1)
			}
			if err != nil {
				failed.Add(1)
			}
		}()
	}
	talk.Wait()
	s.Close(time.Now())
	if n := len(portraitLines(t, r.dir)); accepted.Load() != 1 || n != 1 || failed.Load() > 25 {
		t.Errorf("%d accepted, %d written, %d failed", accepted.Load(), n, failed.Load())
	}
}

// Portraits that cannot be written in time are refused, not queued without end.
func TestPortraitsDoNotPileUp(t *testing.T) {
	r := newHarness(t, nil, nil)
	s := r.open(1)
	resume := r.store.portraits.Pause()
	accepted, refused := 0, 0
	for i := range 3 * maxPortraits {
		ok, err := s.Portrait(model.BusinessType(fmt.Sprint("T", i)), "", func() ([]byte, error) { return []byte("{}"), nil })
		if ok {
			accepted++
		}
		if err != nil {
			refused++
		}
	}
	resume()
	if accepted > maxPortraits+1 || accepted+refused != 3*maxPortraits {
		t.Errorf("%d accepted, %d refused", accepted, refused)
	}
	if n := r.store.Stats().PortraitsLost; n != uint64(refused) {
		t.Errorf("%d portraits are counted as lost, of %d", n, refused)
	}
	s.Close(time.Now())
	if n := len(portraitLines(t, r.dir)); n != accepted {
		t.Errorf("%d written of %d", n, accepted)
	}
}

func TestPortraitsOfBadTypesAreRefused(t *testing.T) {
	r := newHarness(t, nil, nil)
	s := r.open(1)
	defer s.Close(time.Now())
	for _, business := range []model.BusinessType{"", "a b", "a\nb", "[x]", model.BusinessType(strings.Repeat("x", 65))} {
		accepted, err := s.Portrait(business, "", func() ([]byte, error) { return []byte("{}"), nil })
		if accepted || err == nil || !strings.Contains(err.Error(), "business_type") {
			t.Errorf("%q: %v, %v", business, accepted, err)
		}
	}
}
