package test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/internal/mosnproc"
)

// shipped is a configuration of configs/, moved to where a test may run it: free
// ports, a test's upstream and dump directory, and whatever load the machine has.
type shipped struct {
	tree    block
	base    string
	address string // of its one listener
	hex     bool   // it records hex lines
}

func loadShipped(t *testing.T, path, upstream string) *shipped {
	t.Helper()
	s := &shipped{base: newBase(t)}
	if err := json.Unmarshal(mustRead(t, path), &s.tree); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	server := s.tree["servers"].([]any)[0].(block)
	server["default_log_path"] = filepath.Join(s.base, "logs", "mosn.log")
	listeners := server["listeners"].([]any)
	if len(listeners) != 1 {
		t.Fatalf("%s has %d listeners", path, len(listeners))
	}
	listener := listeners[0].(block)
	s.address = freeAddress(t)
	if listener["network"] == "unix" {
		s.address = filepath.Join(s.base, "s.sock")
	}
	listener["address"] = s.address
	chain := listener["filter_chains"].([]any)[0].(block)
	filters := chain["filters"].([]any)
	first := filters[0].(block)
	if first["type"] != "tcpcopy" {
		t.Fatalf("%s: tcpcopy is not the first filter", path)
	}
	config := first["config"].(block)
	output, ok := config["output"].(block)
	if !ok {
		output = block{}
		config["output"] = output
	}
	s.hex = output["formats"] == nil
	output["dir"] = dumpDir(s.base)
	config["guard"] = "off"
	if last := filters[len(filters)-1].(block); last["type"] == "grpc" {
		last["config"].(block)["server_name"] = grpcecho.ServerName // Layotto's own is not in this binary
	}
	if manager, ok := s.tree["cluster_manager"].(block); ok {
		cluster := manager["clusters"].([]any)[0].(block)
		cluster["hosts"].([]any)[0].(block)["address"] = upstream
	}
	return s
}

// listenAdmin moves the admin server, which must be on the loopback already.
func (s *shipped) listenAdmin(t *testing.T, port int) {
	t.Helper()
	socket := s.tree["admin"].(block)["address"].(block)["socket_address"].(block)
	if socket["address"] != "127.0.0.1" || socket["port_value"] != 34901.0 {
		t.Errorf("admin listens on %v", socket)
	}
	socket["port_value"] = port
}

func (s *shipped) tls() (context block, ok bool) {
	chain := s.tree["servers"].([]any)[0].(block)["listeners"].([]any)[0].(block)["filter_chains"].([]any)[0].(block)
	context, ok = chain["tls_context"].(block)
	return context, ok
}

// run starts the configuration and waits until its listener accepts.
func (s *shipped) run(t *testing.T, network string) *mosn {
	t.Helper()
	spec := fill(t, mosnproc.Spec{Base: s.base})
	s.listenAdmin(t, spec.AdminPort)
	text, err := json.Marshal(s.tree)
	if err != nil {
		t.Fatal(err)
	}
	p, err := spec.StartText(text)
	if err != nil {
		t.Fatal(err)
	}
	m := watch(t, p)
	ctx := deadline(t)
	if err := p.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if network != "udp" {
		if err := p.Accepts(ctx, network, s.address); err != nil {
			t.Fatal(err)
		}
	}
	return m
}
