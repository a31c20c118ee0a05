package tcpcopy

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	v2 "mosn.io/mosn/pkg/config/v2"
	"mosn.io/mosn/pkg/configmanager"
)

// The configuration that is read piece by piece is the one that MOSN encodes as a whole.
func TestTheEffectiveConfigurationIsMOSNs(t *testing.T) {
	configmanager.Reset()
	t.Cleanup(configmanager.Reset)
	equal := func(what string) {
		t.Helper()
		want, err := configmanager.DumpJSON()
		if err != nil {
			t.Fatal(err)
		}
		r, err := openEffective()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var g, w any
		if err := json.Unmarshal(got, &g); err != nil {
			t.Fatalf("%s: %v: %.300s", what, err, got)
		}
		if err := json.Unmarshal(want, &w); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("%s:\ngot  %.2000s\nwant %.2000s", what, got, want)
		}
	}
	equal("nothing")
	for i := range 200 {
		c := v2.Cluster{Name: fmt.Sprintf("cluster %d", i), ClusterType: v2.SIMPLE_CLUSTER}
		for h := range []int{0, 1, 5, effectiveItems, effectiveItems + 1, 3 * effectiveItems, 101}[i%7] {
			c.Hosts = append(c.Hosts, v2.Host{HostConfig: v2.HostConfig{Address: fmt.Sprintf("10.0.0.%d:80", h)}})
		}
		configmanager.SetClusterConfig(c)
	}
	equal("clusters")
	configmanager.SetListenerConfig(v2.Listener{ListenerConfig: v2.ListenerConfig{Name: "l", AddrConfig: "127.0.0.1:80"}})
	for _, n := range []int{0, 1, effectiveItems, 10 * effectiveItems} {
		r := v2.RouterConfiguration{RouterConfigurationConfig: v2.RouterConfigurationConfig{RouterConfigName: fmt.Sprintf("router %d", n)}}
		for i := range n {
			r.VirtualHosts = append(r.VirtualHosts, v2.VirtualHost{Name: fmt.Sprint(i), Domains: []string{"*"}})
		}
		configmanager.SetRouter(r)
	}
	equal("routers")
	configmanager.SetExtend("a", json.RawMessage(`{"text": "`+strings.Repeat("x", 100_000)+`"}`))
	configmanager.SetExtend("b", nil)
	configmanager.SetMosnConfig(&v2.MOSNConfig{Servers: []v2.ServerConfig{{ServerName: "s"}}})
	equal("all")
}
