package test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/devcert"
	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
)

// A configuration full of secrets is kept with each window, and none of them is
// in any file of the dump directory.
func TestSecretsOfTheConfigurationStayOutOfTheFiles(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	inline, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	inFile, err := devcert.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certPath, keyPath, err := inFile.Write(filepath.Join(base, "certs"))
	if err != nil {
		t.Fatal(err)
	}

	plain := mosnproc.NewListener("plain", address, recorder(base), mosnproc.TCPProxy())
	inlineTLS := mosnproc.NewListener("inline", freeAddress(t), recorder(base), mosnproc.TCPProxy())
	inlineTLS.Chains[0].TLS = block{"status": true, "cert_chain": string(inline.Cert), "private_key": string(inline.Key)}
	fileTLS := mosnproc.NewListener("file", freeAddress(t), recorder(base), mosnproc.TCPProxy())
	fileTLS.Chains[0].TLS = block{"status": true, "cert_chain": certPath, "private_key": keyPath}
	// Layotto's components have their secrets in here.
	components := mosnproc.NewListener("components", freeAddress(t), recorder(base), mosnproc.Filter{Type: "grpc", Config: block{
		"server_name": grpcecho.ServerName,
		"grpc_config": block{
			"state": block{"redis": block{"metadata": block{
				"redisHost":     "127.0.0.1:6380",
				"redisPassword": "hunter2-redis-password",
			}}},
			"files": []any{block{"accessKeySecret": "hunter2-access-key", "endpoint": "http://me:hunter2-url-password@files.example"}},
			"email": block{"credentials": []any{block{"token": "hunter2-token"}}},
		},
	}})
	config := configOf(upstream(t, echo), plain, inlineTLS, fileTLS, components)
	config.Extends = []mosnproc.Filter{{Type: "example", Config: block{
		"database": "postgres://app:hunter2-database@db.example/app",
		"nested": block{"list": []any{
			block{"client_secret": "hunter2-client-secret"},
			block{"header": "Authorization: Bearer hunter2-bearer"},
			block{"private_key": "-----BEGIN RSA PRIVATE KEY-----\nhunter2-pem\n-----END RSA PRIVATE KEY-----\n"},
		}},
	}}}
	m := start(t, base, config)

	first := m.window(func() { sendOnce(t, address, "in the first window") })
	second := m.window(func() { sendOnce(t, address, "in the second window") })
	m.window(func() {}) // nothing recorded: no snapshot

	secrets := []string{"hunter2"}
	for _, pair := range []devcert.Pair{inline, inFile} {
		body := strings.Split(strings.TrimSpace(string(pair.Key)), "\n")
		secrets = append(secrets, body[1:len(body)-1]...)
	}
	for name, keeps := range map[string][]string{
		"dump_mem_dump.log":    {address, "redisHost", "6380"},
		"dump_static_conf.log": {address, "redisHost", "6380", "db.example"},
	} {
		lines := snapshotsOf(t, filepath.Join(m.dump, name), second.Window)
		if len(lines) != 2 || lines[0].window != first.Window || lines[1].window != second.Window {
			t.Errorf("%s: %d snapshots, want one of each window in which anything was recorded", name, len(lines))
			continue
		}
		if !json.Valid([]byte(lines[0].text)) || !strings.HasPrefix(lines[0].text, "{") {
			t.Errorf("%s: the first snapshot is not valid JSON: %.200q", name, lines[0].text)
		}
		for _, word := range append(keeps, `"***"`) {
			if !strings.Contains(lines[0].text, word) {
				t.Errorf("%s: the snapshot has lost %q", name, word)
			}
		}
		if lines[1].text != "no_change" {
			t.Errorf("%s: the second snapshot is %.200q, want no_change", name, lines[1].text)
		}
	}
	holdsNone(t, m.dump, secrets)
	m.ownersOnly()

	// Another configuration in the same directory is written again.
	if err := m.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	config.Servers[0].Listeners = config.Servers[0].Listeners[:2]
	m = start(t, base, config)
	third := m.window(func() { sendOnce(t, address, "in the third window") })
	for _, name := range []string{"dump_mem_dump.log", "dump_static_conf.log"} {
		lines := snapshotsOf(t, filepath.Join(m.dump, name), third.Window)
		last := lines[len(lines)-1]
		if len(lines) != 3 || last.window != third.Window || !json.Valid([]byte(last.text)) {
			t.Errorf("%s: after the change %d snapshots, the last %.200q", name, len(lines), last.text)
		}
	}
	holdsNone(t, m.dump, secrets)
}
