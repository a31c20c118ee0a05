package mix

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/witness"
)

// all returns all scenarios.
func all() []scenario {
	var list []scenario
	for _, some := range [][]scenario{redisScenarios(), mysqlScenarios(), postgresScenarios(),
		dubboScenarios(), boltScenarios(), tarsScenarios(), thriftScenarios(), kafkaScenarios(), http1Scenarios(), http2Scenarios(), grpcScenarios(), websocketScenarios(), tlsScenarios(), tcpScenarios(),
	} {
		list = append(list, some...)
	}
	return list
}

// Each scenario runs without a proxy; with MIX_FIXTURES its connections are written to that folder.
func TestScenarios(t *testing.T) {
	for _, s := range all() {
		t.Run(s.server+"/"+s.name, func(t *testing.T) {
			server := startServer(t, s.server)
			path, err := witness.NewPath(server.address)
			if err != nil {
				t.Fatal(err)
			}
			defer path.Close()
			r := s.start(t, path)
			if len(r.calls) == 0 {
				t.Fatal("no calls")
			}
			t.Logf("%s: %d calls, %d connections", server.name, len(r.calls), len(path.Links()))
			folder := os.Getenv("MIX_FIXTURES")
			if folder == "" {
				return
			}
			for i, link := range path.Links() {
				name, protocol := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(s.name, "http-"), "http2-"), "tcp-"), r.calls[len(r.calls)-1].Protocol
				if i > 0 {
					name += fmt.Sprint("-", i+1)
				}
				f := witness.NewFixture(protocol, name, link, r.calls)
				if err := f.Write(filepath.Join(folder, strings.ReplaceAll(protocol, "/", "")+"-"+name+".json")); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
