package mix

import (
	"bytes"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
)

// dissectors are those of tshark, by the server whose port they decode. Of MySQL 8 there is none: the one of MySQL
// takes passwords that are encrypted for commands.
var dissectors = map[string]string{"http": "http", "nginx": "http", "nginx-http2": "http2", "grpc": "http2", "redis": "resp", "mysql": "mysql", "postgresql": "pgsql", "kafka": "kafka", "thrift": "thrift"}

// fields are what tshark prints of each packet.
var fields = []string{
	"tcp.srcport", "tcp.dstport", "http.request.method", "http.response.code", "http2.headers.method", "http2.headers.status", "http2.header.name", "http2.header.value",
	"mysql.command", "mysql.error_code", "pgsql.type", "pgsql.code", "kafka.request_key", "resp.error", "thrift.mtype", "thrift.method",
}

// tally counts what was seen of a server: "request GET", "status 200".
type tally map[string]map[string]int

func (t tally) add(server, what string) {
	if t[server] == nil {
		t[server] = map[string]int{}
	}
	t[server][what]++
}

// tshark compares the decoded calls with what tshark's dissectors make of the same file:
// the numbers of requests, by method, and of answers, by status.
func (r *recording) tshark(t *testing.T) {
	tshark := program.Require(t, "tshark")
	files, err := filepath.Glob(filepath.Join(r.dump, "*.pcapng"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	slices.Sort(files)
	theirs := tally{}
	excluded, servers := r.excluded(), map[string]string{} // by port
	// The dissector of gRPC 4.0.17 fails at messages of which it has not seen the head, and then that of
	// HTTP/2 misses others.
	args := []string{"-n", "--disable-protocol", "grpc", "-Y", "http.request || http.response || http2.headers || mysql.command || mysql.error_code || pgsql.type || kafka.request_key || resp.error || thrift.mtype",
		"-T", "fields", "-E", "occurrence=a", "-E", "aggregator=" + separator}
	for _, p := range r.paths {
		_, port, _ := strings.Cut(p.listener, ":")
		servers[port] = p.server
		dissector := dissectors[p.server]
		if dissector == "" {
			dissector = "data"
		}
		args = append(args, "-d", "tcp.port=="+port+","+dissector)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	for _, file := range files {
		command := exec.Command(tshark, append([]string{"-r", file}, args...)...)
		var problems bytes.Buffer
		command.Stderr = &problems
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, short(problems.String()))
		}
		for _, line := range strings.Split(string(out), "\n") {
			row := map[string][]string{}
			for i, text := range strings.Split(line, "\t") {
				if text != "" {
					row[fields[i]] = strings.Split(text, separator)
				}
			}
			if len(row) == 0 {
				continue
			}
			from, to := row["tcp.srcport"][0], row["tcp.dstport"][0]
			if server, ok := servers[to]; ok && !excluded[to+" "+from] {
				theirs.request(server, row)
			} else if server, ok := servers[from]; ok && !excluded[from+" "+to] {
				theirs.answer(server, row)
			}
		}
	}

	ours := r.tally(t, excluded)
	for server := range dissectors {
		if ours[server] == nil {
			continue // not in this mix
		}
		if !maps.Equal(ours[server], theirs[server]) {
			for _, what := range slices.Sorted(maps.Keys(merge(ours[server], theirs[server]))) {
				if a, b := ours[server][what], theirs[server][what]; a != b {
					t.Errorf("%s: %s: %d, tshark %d", server, what, a, b)
				}
			}
		}
		t.Logf("%s: %d kinds of requests and answers, as many of each as tshark sees", server, len(ours[server]))
	}
}

const separator = "\x01"

func merge(a, b map[string]int) map[string]int {
	m := maps.Clone(a)
	maps.Copy(m, b)
	return m
}

// request counts the requests in a packet.
func (t tally) request(server string, row map[string][]string) {
	for _, m := range slices.Concat(row["http.request.method"], row["http2.headers.method"]) {
		t.add(server, "request "+m)
	}
	for _, c := range row["mysql.command"] {
		if name := map[string]string{"1": "QUIT", "3": "QUERY", "14": "PING", "22": "PREPARE", "23": "EXECUTE", "25": "CLOSE"}[c]; name != "" {
			t.add(server, "request "+name)
		}
	}
	for _, p := range row["pgsql.type"] {
		if name := map[string]string{"Simple query": "QUERY", "Execute": "EXECUTE"}[p]; name != "" {
			t.add(server, "request "+name)
		}
	}
	for _, key := range row["kafka.request_key"] {
		t.add(server, "request "+kafkaName(key))
	}
	for i, m := range row["thrift.method"] {
		if kind := row["thrift.mtype"][i]; kind == "0x01" || kind == "0x04" {
			t.add(server, "request "+m)
		}
	}
}

func kafkaName(key string) string {
	n, err := strconv.ParseInt(key, 10, 16)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(kmsg.NameForKey(int16(n)), "ProducerID", "ProducerId")
}

// answer counts the answers in a packet.
func (t tally) answer(server string, row map[string][]string) {
	for _, code := range slices.Concat(row["http.response.code"], row["http2.headers.status"]) {
		if server != "grpc" && code >= "200" {
			t.add(server, "status "+code)
		}
	}
	for i, name := range row["http2.header.name"] {
		if name == "grpc-status" && server == "grpc" {
			code, err := strconv.Atoi(row["http2.header.value"][i])
			if err != nil || code >= len(grpcCodes) {
				t.add(server, "a grpc-status that is none")
			} else if code != 1 && code != 4 { // resets, and answers that came behind them
				t.add(server, "status "+grpcCodes[code])
			}
		}
	}
	for _, code := range row["mysql.error_code"] {
		t.add(server, "status "+code)
	}
	for _, code := range row["pgsql.code"] {
		if !strings.HasPrefix(code, "00") && !strings.HasPrefix(code, "01") { // not of notices
			t.add(server, "status "+code)
		}
	}
	for _, text := range row["resp.error"] {
		word, _, _ := strings.Cut(text, " ")
		t.add(server, "status "+word)
	}
}

// tally counts the decoded calls in the same way.
func (r *recording) tally(t *testing.T, excluded map[string]bool) tally {
	ours := tally{}
	for key, list := range r.decoded(t, dump.FormatPcapng) {
		listener, _, _ := strings.Cut(key, " ")
		for _, p := range r.paths {
			if p.listener != listener {
				continue
			}
			for i := range list {
				if c := &list[i]; !excluded[portOf(c.Listener)+" "+portOf(c.Peer)] {
					ours.call(p.server, c)
				}
			}
		}
	}
	return ours
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// call counts a call as far as tshark knows its like.
func (t tally) call(server string, c *calls.Call) {
	request, status := true, c.Status != ""
	switch server {
	case "redis": // tshark knows only the errors as such
		request, status = false, c.Status != "OK"
	case "mysql":
		request, status = c.Method != mysqlLogin, status && c.Status != "OK"
	case "postgresql":
		request, status = c.Method == "QUERY" || c.Method == "EXECUTE", status && c.Status != "OK"
	case "kafka", "thrift":
		status = false
	case "grpc":
		status = status && c.Status != "CANCELLED" && c.Status != "DEADLINE_EXCEEDED" // as above
	}
	if request && c.Request.Present {
		t.add(server, "request "+c.Method)
	}
	if status {
		t.add(server, "status "+c.Status)
	}
}

// excluded are connections that tshark cannot dissect, by the ports of the listener and of the client.
func (r *recording) excluded() map[string]bool {
	not := map[string]bool{}
	for _, p := range r.paths {
		clients := map[string]string{}
		for _, l := range p.path.Links() {
			clients[l.ID] = l.Client
		}
		for _, c := range p.calls {
			if strings.HasPrefix(c.Comment, "tshark cannot") {
				not[portOf(p.listener)+" "+portOf(clients[c.Conn])] = true
			}
		}
	}
	return not
}
