package mix

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/witness"
)

// all returns all scenarios.
func all() []scenario {
	return slices.Concat(redisScenarios(), mysqlScenarios(), mysql8Scenarios(), postgresScenarios(), dubboScenarios(), boltScenarios(), tarsScenarios(), thriftScenarios(),
		kafkaScenarios(), http1Scenarios(), http2Scenarios(), nginxScenarios(), grpcScenarios(), websocketScenarios(), tlsScenarios(), tcpScenarios(), commandScenarios())
}

// Each scenario runs without a proxy. With MIX_FIXTURES, a folder, its connections are
// written there, for the tests of parsers.
func TestScenarios(t *testing.T) {
	for _, name := range names(all()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, name)
			for _, s := range all() {
				if s.server == name {
					t.Run(s.name, func(t *testing.T) { s.alone(t, server) })
				}
			}
		})
	}
}

// alone runs s on a path of its own.
func (s scenario) alone(t *testing.T, on server) {
	path, err := witness.NewPath(on.address)
	if err != nil {
		t.Fatal(err)
	}
	defer path.Close()
	r := s.start(t, on, path)
	if len(r.calls) == 0 {
		t.Skip("the program of this scenario is not installed")
	}
	t.Logf("%s: %d calls, %d connections", on.name, len(r.calls), len(path.Links()))
	folder := os.Getenv("MIX_FIXTURES")
	if folder == "" {
		return
	}
	protocol := s.server
	if protocol == "http" || strings.HasPrefix(protocol, "nginx") || protocol == "script" {
		protocol = r.calls[0].Protocol
	}
	for i, link := range path.Links() {
		name := regexp.MustCompile(`^(http2?|tcp)-`).ReplaceAllString(s.name, "")
		if strings.HasPrefix(s.server, "nginx") {
			name = "nginx-" + name
		}
		if i > 0 {
			name += fmt.Sprint("-", i+1)
		}
		file := strings.ReplaceAll(protocol, "/", "") + "-" + name + ".json"
		if err := witness.NewFixture(protocol, name, link, r.calls).Write(filepath.Join(folder, file)); err != nil {
			t.Fatal(err)
		}
	}
}
