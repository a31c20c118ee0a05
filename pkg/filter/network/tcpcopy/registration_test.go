package tcpcopy

import (
	"context"
	"net"
	"regexp"
	"strings"
	"testing"

	"mosn.io/api"
	"mosn.io/pkg/buffer"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/strategy"
)

// MOSN finds the filters by their types, and code written for the first
// implementation finds its names.
func TestTheFiltersAreRegistered(t *testing.T) {
	if f, err := api.CreateNetworkFilterChainFactory("tcpcopy", object{}); err != nil || f == nil {
		t.Errorf("network filter: %v, %v", f, err)
	}
	if f, err := api.CreateStreamFilterChainFactory("tcpcopy_portrait", object{}); err != nil || f == nil {
		t.Errorf("stream filter: %v, %v", f, err)
	}
	if _, err := CreateTcpcopyFactory(object{"guard": "maybe"}); err == nil || !strings.Contains(err.Error(), "guard") {
		t.Errorf("a bad configuration: %v", err)
	}
	if UploadPortraitData(model.RPC, "x", context.Background()) || persistence.IsPersistence() || strategy.IsAvailable() {
		t.Error("something is recorded without a window")
	}
	persistence.GetDumpWorkPoolInstance().Schedule(nil)
	persistence.GetDumpWorkPoolInstance().Schedule(&model.DumpUploadDynamicConfig{Port: "1", BinaryFlowData: []byte("x")})
}

func TestRunIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		run := newRun()
		if !regexp.MustCompile(`^[a-z2-7]{6}$`).MatchString(run) || seen[run] {
			t.Errorf("run %q", run)
		}
		seen[run] = true
	}
}

// A share of the connections, from some networks.
func TestTheScopeSelectsConnections(t *testing.T) {
	h := newHarness(t, object{"capture": object{"peers": []string{"192.0.2.0/24"}, "direction": "both"}})
	from := func(f api.NetworkFilterChainFactory, address net.Addr) bool {
		c := &fakeConn{buf: buffer.NewIoBuffer(1), remote: address}
		c.join(f)
		if len(c.readers) != len(c.writers) {
			t.Errorf("%d readers, %d writers", len(c.readers), len(c.writers))
		}
		return len(c.readers) > 0
	}
	client := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1}
	for address, want := range map[net.Addr]bool{
		client:                                   true,
		&net.UDPAddr{IP: net.IPv4(192, 0, 2, 8)}: true,
		&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}:  false,
		&net.UnixAddr{Name: "@"}:                 false,
	} {
		if got := from(h.factory, address); got != want {
			t.Errorf("%v: %v", address, got)
		}
	}
	h.factory.CreateFilterChain(context.Background(), &fakeConn{}) // no connection in the context
	none := h.bind("none", object{"capture": object{"sample": 0, "direction": "both"}})
	half := h.bind("half", object{"capture": object{"sample": 0.5, "direction": "both"}})
	recorded := 0
	for range 1000 {
		if from(none, client) {
			t.Fatal("recorded, of none")
		}
		if from(half, client) {
			recorded++
		}
	}
	if recorded < 400 || recorded > 600 {
		t.Errorf("%d of 1000 are recorded, with a share of a half", recorded)
	}
	if n := h.recorder.panics.Load(); n > 0 {
		t.Errorf("%d panics", n)
	}
}
