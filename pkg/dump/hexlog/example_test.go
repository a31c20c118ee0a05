package hexlog_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/record"
)

// What the encoder writes of a connection, and what the decoder makes of it.
func Example() {
	flow := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{
		Window: "5f3c", Conn: "k3v9qa-1", Port: "8080", Peer: "10.0.0.1:50000", Listener: "10.9.9.9:8080",
	}}}
	now := time.Date(2024, 5, 6, 7, 8, 9, 0, time.Local).UnixNano()
	e := hexlog.NewMetaEncoder()
	lines := e.Open(nil, now, flow)
	lines = e.Data(lines, now+1000, flow, record.In, 0, []byte("ping"))
	fmt.Printf("%s", lines)

	d := hexlog.NewDecoder(hexlog.InZone{Zone: time.Local})
	d.Reset(bytes.NewReader(lines), "example")
	for range 2 {
		r, err := d.Next()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s %s %q\n", r.Conn, r.Kind, r.Peer, r.Data)
	}
	// Output:
	// 2024-05-06 07:08:09,000000 [INFO] [5f3c][8080][k3v9qa-1 open] 10.0.0.1:50000 -> 10.9.9.9:8080
	// 2024-05-06 07:08:09,000001 [INFO] [5f3c][8080][k3v9qa-1 > 0]70 69 6e 67
	// k3v9qa-1 open 10.0.0.1:50000 ""
	// k3v9qa-1 data 10.0.0.1:50000 "ping"
}
