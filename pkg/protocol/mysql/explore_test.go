package mysql

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

type mixRange struct{ Offset, Length uint64 }
type mixCall struct {
	N                      uint64
	Method, Target, Status string
	Failed                 bool
	Request, Response      *mixRange
}
type mix struct {
	Calls  []mixCall
	Chunks []struct {
		Dir    string
		Offset uint64
		T      int64 `json:"t_ns"`
		Data   []byte
	}
}

func load(t testing.TB, file string) (parsetest.Session, mix) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var m mix
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	var s parsetest.Session
	for _, c := range m.Chunks {
		dir := record.In
		if c.Dir == "out" {
			dir = record.Out
		}
		s = append(s, parsetest.Piece{Dir: dir, At: parsetest.Start.Add(time.Duration(c.T)), Data: c.Data})
	}
	return s, m
}

func short(s string) string {
	if len(s) > 70 {
		return s[:70]
	}
	return s
}

func TestExplore(t *testing.T) {
	files, _ := filepath.Glob("/tmp/h/fixtures15/mysql*.json")
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".json"), func(t *testing.T) {
			s, m := load(t, f)
			got, err := parsetest.Decode(&Protocol, s, true)
			if err != nil {
				t.Error(err)
			}
			bad := 0
			wi := 0
			for _, c := range got.Calls {
				var w mixCall
				for wi < len(m.Calls) && m.Calls[wi].Method == "xxx" {
					wi++
				}
				if wi < len(m.Calls) {
					w = m.Calls[wi]
				}
				wi++
				if c.Method == "CLOSE" || c.Method == "QUIT" { w.Status = "" }
				if c.Method == "CONNECT" { w.Response = nil }
				ok := w.Method == c.Method && w.Target == c.Target && w.Status == c.Status && w.Failed == c.Failed
				if w.Request != nil {
					ok = ok && w.Request.Offset == c.Request.Offset && w.Request.Length == c.Request.Length
				}
				if w.Response != nil {
					ok = ok && w.Response.Offset == c.Response.Offset && w.Response.Length == c.Response.Length
				}
				if !ok {
					bad++
					if bad < 15 {
						t.Logf("got  %d %s %q %s %v req %d+%d resp %d+%d %v", c.N, c.Method, short(c.Target), c.Status, c.Failed, c.Request.Offset, c.Request.Length, c.Response.Offset, c.Response.Length, c.Incomplete.Words())
						t.Logf("want %d %s %q %s %v req %v resp %v", w.N, w.Method, short(w.Target), w.Status, w.Failed, w.Request, w.Response)
					}
				}
			}
			t.Logf("%d calls, %d wanted, %d differ", len(got.Calls), len(m.Calls), bad)
		})
	}
}

func TestExploreCheck(t *testing.T) {
	files, _ := filepath.Glob("/tmp/h/fixtures15/mysql*.json")
	for _, f := range files {
		s, _ := load(t, f)
		n := 0
		for _, p := range s {
			n += len(p.Data)
		}
		if n > 200<<10 || strings.Contains(f, "tls-refused.json") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(f), ".json"), func(t *testing.T) { parsetest.Check(t, &Protocol, s) })
	}
}

var _ = call.Call{}
var _ parse.Env
