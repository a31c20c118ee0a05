package test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
)

var portraitLine = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[INFO\] \[([0-9a-f-]{36})\]\[([A-Z]+)\]\[(\d+)\](\{.*\})$`)

func TestRequestHeadersBecomePortraits(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	listener := httpListener(base, address)
	listener.Streams = []mosnproc.Filter{{Type: "tcpcopy_portrait", Config: block{"business_type": "RPC"}}}
	m := start(t, base, configOf(httpUpstream(t), listener))

	ctx := deadline(t)
	client := newHTTPClient("tcp", address)
	defer client.CloseIdleConnections()
	secrets := http.Header{
		"Authorization": {"Bearer hunter2-token"},
		"Cookie":        {"session=hunter2-cookie"},
		"X-Api-Key":     {"hunter2-key"},
	}
	request := func(flight string) {
		t.Helper()
		header := secrets.Clone()
		header.Set("X-Flight", flight)
		if err := client.post(ctx, "http://"+address+"/tower", []byte("request to land"), header); err != nil {
			t.Fatal(err)
		}
	}
	request("MO 1") // no window is open
	first := m.window(func() {
		request("MO 2")
		request("MO 3")
	})
	request("MO 4")
	second := m.window(func() { request("MO 5") })

	text, err := os.ReadFile(filepath.Join(m.dump, "dump_portrait_data.log"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") {
		t.Errorf("a portrait holds what was to be left out:\n%s", text)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d portraits, want one per window:\n%s", len(lines), text)
	}
	_, port, _ := strings.Cut(address, ":")
	for i, want := range []struct{ window, flight string }{{first.Window, "MO 2"}, {second.Window, "MO 5"}} {
		field := portraitLine.FindStringSubmatch(lines[i])
		if field == nil {
			t.Errorf("not a portrait's line: %q", lines[i])
			continue
		}
		var headers map[string]string
		if err := json.Unmarshal([]byte(field[4]), &headers); err != nil {
			t.Errorf("%q: %v", field[4], err)
		}
		flight := headers["X-Flight"] + headers["x-flight"] // names as the protocol's codec has them
		if field[1] != want.window || field[2] != "RPC" || field[3] != port || flight != want.flight {
			t.Errorf("portrait %q, want one of %s in window %s on port %s", lines[i], want.flight, want.window, port)
		}
	}
}
