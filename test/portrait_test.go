package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/wiretap"
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

	m.portraysFlights(address, flightOf{first.Window, "MO 2"}, flightOf{second.Window, "MO 5"})
}

// MOSN's gRPC server runs stream filters for unary calls, and for those one phase only.
func TestGRPCMetadataBecomesPortraits(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	listener := mosnproc.NewListener("grpc", address, recorder(base),
		mosnproc.Filter{Type: "grpc", Config: block{"server_name": grpcecho.ServerName}})
	listener.Streams = []mosnproc.Filter{{Type: "tcpcopy_portrait"}}
	m := start(t, base, configOf("127.0.0.1:1", listener))

	var tap *wiretap.Conn
	conn := dialGRPC(t, address, &tap)
	defer conn.Close()
	call := func(flight string) {
		t.Helper()
		ctx := metadata.AppendToOutgoingContext(deadline(t), "x-flight", flight, "authorization", "Bearer hunter2-token")
		if _, err := grpcecho.Echo(ctx, conn, []byte("request to land")); err != nil {
			t.Fatal(err)
		}
	}
	call("MO 1") // no window is open
	first := m.window(func() {
		call("MO 2")
		call("MO 3")
	})
	second := m.window(func() { call("MO 4") })
	m.portraysFlights(address, flightOf{first.Window, "MO 2"}, flightOf{second.Window, "MO 4"})
}

// flightOf is the request whose portrait a window has.
type flightOf struct{ window, flight string }

// portraysFlights checks that the portrait log has these portraits and no others.
func (m *mosn) portraysFlights(address string, all ...flightOf) {
	t := m.t
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dump, "dump_portrait_data.log"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") {
		t.Errorf("a portrait holds what was to be left out:\n%s", text)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != len(all) {
		t.Fatalf("%d portraits, want one per window:\n%s", len(lines), text)
	}
	_, port, _ := strings.Cut(address, ":")
	for i, want := range all {
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

// The port of a portrait is that of the listener that the request came to, or its Unix
// socket's path, as in the records of the listener.
func TestAPortraitHasThePortOfItsListener(t *testing.T) {
	t.Parallel()
	base := newBase(t)
	grpcServer := mosnproc.Filter{Type: "grpc", Config: block{"server_name": grpcecho.ServerName}}
	listener := func(name, network, address string, behind mosnproc.Filter) mosnproc.Listener {
		l := mosnproc.NewListener(name, address, recorder(base), behind)
		l.Network = network
		l.Streams = []mosnproc.Filter{{Type: "tcpcopy_portrait", Config: block{"business_type": name}}}
		return l
	}
	all := []mosnproc.Listener{
		listener("grpc1", "tcp", freeAddress(t), grpcServer),
		listener("grpc2", "tcp", freeAddress(t), grpcServer),
		listener("grpc-unix", "unix", filepath.Join(base, "g.sock"), grpcServer),
		listener("http1", "tcp", freeAddress(t), mosnproc.Proxy("Http1")),
		listener("http2", "tcp", freeAddress(t), mosnproc.Proxy("Http1")),
		listener("http-unix", "unix", filepath.Join(base, "h.sock"), mosnproc.Proxy("Http1")),
	}
	m := start(t, base, configOf(httpUpstream(t), all...))
	w := m.window(func() {
		for _, l := range all {
			if strings.HasPrefix(l.Name, "http") {
				client := newHTTPClient(l.Network, l.Address)
				if err := client.post(deadline(t), "http://tower/", []byte("request to land"), nil); err != nil {
					t.Error(err)
				}
				client.CloseIdleConnections()
				continue
			}
			target := l.Address
			if l.Network == "unix" {
				target = "unix:" + target
			}
			conn, err := grpc.DialContext(deadline(t), target, grpc.WithInsecure(), grpc.WithBlock())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := grpcecho.Echo(deadline(t), conn, []byte("request to land")); err != nil {
				t.Error(err)
			}
			conn.Close()
		}
	})
	text := string(mustRead(t, filepath.Join(m.dump, "dump_portrait_data.log")))
	if n := strings.Count(text, "\n"); n != len(all) {
		t.Errorf("%d portraits, want %d", n, len(all))
	}
	for _, l := range all {
		port := l.Address
		if l.Network == "tcp" {
			port = portOf(l.Address)
		}
		if want := fmt.Sprintf("[%s][%s][%s]{", w.Window, l.Name, port); !strings.Contains(text, want) {
			t.Errorf("no portrait begins with %s:\n%s", want, text)
		}
	}
}
