package pcapng_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/netip"

	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// A file begins with its section header and the blocks of its interfaces. What the
// encoder appends to them, the decoder turns into the same events again.
func Example() {
	file := pcapng.AppendSectionHeader(nil, "example")
	file = pcapng.AppendInterface(file, "ingress", "tcp 8080")
	e := pcapng.NewEncoder()
	flow := &record.Flow{
		Endpoint: record.Endpoint{
			Identity:   record.Identity{Window: "5f3c", Conn: "k3v9qa-1", Port: "8080", Network: "tcp", Peer: "10.0.0.1:50000", Listener: "10.9.9.9:8080"},
			ClientAddr: netip.MustParseAddrPort("10.0.0.1:50000"),
			ServerAddr: netip.MustParseAddrPort("10.9.9.9:8080"),
		},
		FromStart: true,
	}
	const now = 1_700_000_000_000_000_000
	file = e.Open(file, now, flow)
	file = e.Data(file, now, flow, record.In, 0, []byte("ping"))
	file = e.Gap(file, now, flow, record.Out, 0, 100, record.ReasonGuard)
	file = e.Close(file, now, flow, record.CloseRemote, record.PerDirection{In: 4, Out: 100})

	d := pcapng.NewDecoder()
	d.Reset(bytes.NewReader(file), "example")
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %s %d+%d %q\n", r.Conn, r.Kind, r.Direction, r.Offset, r.Length, r.Reason)
	}
	// Output:
	// k3v9qa-1 open in 0+0 ""
	// k3v9qa-1 data in 0+4 ""
	// k3v9qa-1 gap out 0+100 "guard"
	// k3v9qa-1 close in 0+0 "RemoteClose"
}
