package pcapng_test

import (
	"bytes"
	"fmt"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// A port is used again while the connection before still has bytes to come, as several
// workers write a file. Each byte is of the connection that it passed on.
func TestConnectionsWithTheSameAddressesStayApart(t *testing.T) {
	for _, c := range []struct{ network, client, server string }{
		{"tcp", "10.0.0.1:50000", "10.0.0.2:8080"},
		{"tcp", "[2001:db8::1]:50000", "[2001:db8::2]:8080"},
		{"udp", "10.0.0.1:50000", "10.0.0.2:8080"},
		{"udp", "[2001:db8::1]:50000", "[2001:db8::2]:8080"},
		{"unix", "@", "/run/a.sock"},
	} {
		file, encoder := dumptest.NewFile()
		want := map[string]string{}
		var flows []*record.Flow
		for i := range 3 {
			f := dumptest.NewFlow(c.network, 4096*i+1, c.client, c.server)
			flows = append(flows, f)
			file = encoder.Open(file, dumptest.Time, f)
			for _, f := range flows {
				for _, dir := range record.Directions() {
					text := fmt.Sprintf("%d %v %s. ", i, dir, f.Conn)
					want[f.Conn+dir.String()] += text
					file = encoder.Data(file, dumptest.Time, f, dir, f.Next.Of(dir), []byte(text))
				}
			}
		}
		for _, f := range flows {
			file = encoder.Close(file, dumptest.Time, f, record.CloseRemote, f.Next)
		}
		d := pcapng.NewDecoder()
		d.Reset(bytes.NewReader(file), "test")
		records, damage, err := dumptest.Collect(d)
		if err != nil || len(damage) > 0 {
			t.Fatal(err, damage)
		}
		got, closed := map[string]string{}, map[string]record.PerDirection{}
		for _, r := range records {
			switch r.Kind {
			case record.KindData:
				key := r.Conn + r.Direction.String()
				if r.Offset != uint64(len(got[key])) {
					t.Errorf("%v: %s has offset %d, want %d", c, key, r.Offset, len(got[key]))
				}
				got[key] += string(r.Data)
			case record.KindClose:
				closed[r.Conn] = r.Totals
			}
		}
		for _, f := range flows {
			for _, dir := range record.Directions() {
				if key := f.Conn + dir.String(); got[key] != want[key] || closed[f.Conn] != f.Next {
					t.Errorf("%v: %s is %q, closed with %+v; want %q and %+v", c, key, got[key], closed[f.Conn], want[key], f.Next)
				}
			}
		}
	}
}
