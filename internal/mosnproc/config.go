package mosnproc

// Config is the part of MOSN's configuration file that tests need, field for
// field (pkg/config/v2 of MOSN has it all).
type Config struct {
	Servers  []Server       `json:"servers"`
	Clusters ClusterManager `json:"cluster_manager"`
	Extends  []Filter       `json:"extends,omitempty"`
	Admin    Admin          `json:"admin"`
}

// Server is MOSN's one server: where it logs and what it serves.
type Server struct {
	LogPath   string     `json:"default_log_path"`
	LogLevel  string     `json:"default_log_level"`
	Routers   []Router   `json:"routers,omitempty"`
	Listeners []Listener `json:"listeners"`
}

// Listener is one address that MOSN serves.
type Listener struct {
	Name    string        `json:"name"`
	Address string        `json:"address"`           // host:port, or the path of a Unix socket
	Network string        `json:"network,omitempty"` // "tcp" if empty, "udp", "unix"
	Bind    bool          `json:"bind_port"`
	Chains  []FilterChain `json:"filter_chains"`
	Streams []Filter      `json:"stream_filters,omitempty"`
}

// FilterChain is a listener's network filters in order, and its TLS.
type FilterChain struct {
	TLS     map[string]any `json:"tls_context,omitempty"`
	Filters []Filter       `json:"filters"`
}

// Filter is a network filter, a stream filter or an extension.
type Filter struct {
	Type   string         `json:"type"`
	Config map[string]any `json:"config,omitempty"`
}

// Router is a named table of routes.
type Router struct {
	Name         string        `json:"router_config_name"`
	VirtualHosts []VirtualHost `json:"virtual_hosts"`
}

// VirtualHost holds the routes of some domains.
type VirtualHost struct {
	Name    string   `json:"name"`
	Domains []string `json:"domains"`
	Routes  []Route  `json:"routers"`
}

// Route sends what matches to a cluster.
type Route struct {
	Match  map[string]any `json:"match"`
	Action map[string]any `json:"route"`
}

// ClusterManager holds the upstreams.
type ClusterManager struct {
	Clusters []Cluster `json:"clusters,omitempty"`
}

// Cluster is one upstream.
type Cluster struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Balance string `json:"lb_type"`
	Hosts   []Host `json:"hosts"`
}

// Host is one server of an upstream.
type Host struct {
	Address string `json:"address"`
}

// Admin is where the admin server listens.
type Admin struct {
	Address struct {
		Socket struct {
			Address string `json:"address"`
			Port    int    `json:"port_value"`
		} `json:"socket_address"`
	} `json:"address"`
}

// upstreamName is the name that NewCluster and the proxy filters below share.
const upstreamName = "upstream"

// NewListener returns a listener that serves address with filters.
func NewListener(name, address string, filters ...Filter) Listener {
	return Listener{Name: name, Address: address, Bind: true, Chains: []FilterChain{{Filters: filters}}}
}

// NewCluster returns the cluster upstreamName with one server.
func NewCluster(address string) Cluster {
	return Cluster{Name: upstreamName, Type: "SIMPLE", Balance: "LB_RANDOM", Hosts: []Host{{Address: address}}}
}

// TCPProxy forwards a connection's bytes to upstreamName.
func TCPProxy() Filter {
	return Filter{Type: "tcp_proxy", Config: map[string]any{
		"cluster": upstreamName,
		"routes":  []any{map[string]any{"cluster": upstreamName}},
	}}
}

// UDPProxy forwards datagrams to upstreamName.
func UDPProxy() Filter {
	return Filter{Type: "udp_proxy", Config: map[string]any{"cluster": upstreamName}}
}

// Proxy forwards requests of protocol to where Routes sends them.
func Proxy(protocol string) Filter {
	return Filter{Type: "proxy", Config: map[string]any{
		"downstream_protocol": protocol,
		"upstream_protocol":   protocol,
		"router_config_name":  "routes",
	}}
}

// Routes sends every request to upstreamName: HTTP requests by their path, those of
// RPC protocols by the header that stands for the service.
func Routes() Router {
	to := map[string]any{"cluster_name": upstreamName}
	return Router{Name: "routes", VirtualHosts: []VirtualHost{{
		Name:    "all",
		Domains: []string{"*"},
		Routes: []Route{
			{Match: map[string]any{"prefix": "/"}, Action: to},
			{Match: map[string]any{"headers": []any{map[string]any{"name": "service", "value": ".*", "regex": true}}}, Action: to},
		},
	}}}
}
