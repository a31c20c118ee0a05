package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mosn.io/tcpcopy/internal/grpcecho"
	"mosn.io/tcpcopy/pkg/dump/layout"
)

// dumpDir is where the recordings of `make run` go, relative to the repository's folder.
// tcpcopyctl reads it by default.
var dumpDir = layout.HomeDir("")

// config is a configuration of configs/.
type config struct {
	path   string
	tree   map[string]any // all of it
	served []string       // upstreams that serveUpstreams serves
	facts
}

// facts is what run has to know of a configuration, field for field as in MOSN's
// (pkg/config/v2).
type facts struct {
	Servers []struct {
		LogPath   string     `json:"default_log_path"`
		Listeners []listener `json:"listeners"`
	} `json:"servers"`
	Manager struct {
		Clusters []struct {
			Hosts []struct {
				Address string `json:"address"`
			} `json:"hosts"`
		} `json:"clusters"`
	} `json:"cluster_manager"`
	Admin struct {
		Address struct {
			Socket struct {
				Address string `json:"address"`
				Port    int    `json:"port_value"`
			} `json:"socket_address"`
		} `json:"address"`
	} `json:"admin"`
}

// listener is one address that MOSN serves.
type listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Network string `json:"network"` // "tcp" if empty
	Chains  []struct {
		TLS struct {
			Status bool   `json:"status"`
			Cert   string `json:"cert_chain"`
		} `json:"tls_context"`
		Filters []struct {
			Type   string `json:"type"`
			Config struct {
				ServerName string `json:"server_name"` // of the filter grpc
				Strategy   struct {
					Switch   string `json:"switch"`
					Interval int    `json:"interval"` // seconds
					Duration int    `json:"duration"` // seconds
				} `json:"strategy"` // of the filter tcpcopy
			} `json:"config"`
		} `json:"filters"`
	} `json:"filter_chains"`
}

// readConfig reads a configuration. It returns an error if bin/mosn cannot serve it.
func readConfig(path string) (*config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s; CONFIG is one of %s", path, strings.Join(names(filepath.Dir(path)), ", "))
	}
	if err != nil {
		return nil, err
	}
	c := &config{path: path}
	if err := errors.Join(json.Unmarshal(text, &c.tree), json.Unmarshal(text, &c.facts)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(c.Servers) != 1 || len(c.Servers[0].Listeners) == 0 {
		return nil, fmt.Errorf("%s has no server with a listener", path)
	}
	for _, l := range c.Servers[0].Listeners {
		if len(l.Chains) != 1 {
			return nil, fmt.Errorf("%s: listener %s has %d filter chains, want one", path, l.Name, len(l.Chains))
		}
		if name, ok := l.grpc(); ok && name != grpcecho.ServerName {
			return nil, fmt.Errorf("%s is for another program, such as Layotto: bin/mosn has no gRPC service %q. See \"Put it into Layotto\" in README.md; CONFIG=grpc serves gRPC here", path, name)
		}
	}
	return c, nil
}

// names returns the names of the configurations in folder, without the extension.
func names(folder string) []string {
	paths, _ := filepath.Glob(filepath.Join(folder, "*.json")) // fails for a bad pattern only
	var all []string
	for _, path := range paths {
		all = append(all, strings.TrimSuffix(filepath.Base(path), ".json"))
	}
	return all
}

// withDumpDir returns the text of the configuration in which each recorder that names no
// dump directory has dir.
func (c *config) withDumpDir(dir string) ([]byte, error) {
	for filter := range filters(c.tree, "tcpcopy") {
		settings := object(filter, "config")
		if output := object(settings, "output"); output["dir"] == nil {
			output["dir"] = dir
		}
	}
	return json.MarshalIndent(c.tree, "", "  ")
}

// object returns the object at key of tree, which it creates where there is none.
func object(tree map[string]any, key string) map[string]any {
	if o, ok := tree[key].(map[string]any); ok {
		return o
	}
	o := map[string]any{}
	tree[key] = o
	return o
}

// filters calls yield with each object below node whose type is name.
func filters(node any, name string) func(yield func(map[string]any) bool) {
	return func(yield func(map[string]any) bool) { walk(node, name, yield) }
}

// walk is filters. It reports whether yield wants more.
func walk(node any, name string, yield func(map[string]any) bool) bool {
	switch node := node.(type) {
	case map[string]any:
		if node["type"] == name {
			return yield(node)
		}
		for _, below := range node {
			if !walk(below, name, yield) {
				return false
			}
		}
	case []any:
		for _, below := range node {
			if !walk(below, name, yield) {
				return false
			}
		}
	}
	return true
}

// listeners returns the listeners of the one server.
func (c *config) listeners() []listener { return c.Servers[0].Listeners }

// admin returns the address of the admin server.
func (c *config) admin() string {
	socket := c.Admin.Address.Socket
	return net.JoinHostPort(socket.Address, fmt.Sprint(socket.Port))
}

// upstreams returns the addresses that the listeners pass on to.
func (c *config) upstreams() []string {
	var all []string
	for _, cluster := range c.Manager.Clusters {
		for _, host := range cluster.Hosts {
			all = append(all, host.Address)
		}
	}
	return all
}

// isUDP reports whether the listeners receive datagrams.
func (c *config) isUDP() bool {
	return slices.ContainsFunc(c.listeners(), func(l listener) bool { return l.Network == "udp" })
}

// network returns the network of the listener's address.
func (l *listener) network() string {
	if l.Network == "" {
		return "tcp"
	}
	return l.Network
}

// grpc returns the name of the gRPC service that the listener serves, if it serves one.
func (l *listener) grpc() (name string, ok bool) {
	for _, f := range l.Chains[0].Filters {
		if f.Type == "grpc" {
			return f.Config.ServerName, true
		}
	}
	return "", false
}

// schedule returns after how many seconds a window opens by itself, and for how many. ok
// is false where none does.
func (l *listener) schedule() (interval, duration int, ok bool) {
	for _, f := range l.Chains[0].Filters {
		if s := f.Config.Strategy; f.Type == "tcpcopy" && s.Switch == "ON" {
			return s.Interval, s.Duration, true
		}
	}
	return 0, 0, false
}
