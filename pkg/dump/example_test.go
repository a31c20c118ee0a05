package dump_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// A dump is read record by record. Damage is reported in between and ends nothing.
func ExampleOpen() {
	lines := strings.NewReader(`2024-05-06 07:08:09,000000 [INFO] [5f3c][8080][k3v9qa-1 open] 10.0.0.1:50000 -> 10.9.9.9:8080
2024-05-06 07:08:09,000100 [INFO] [5f3c][8080][k3v9qa-1 > 0]70 69 6e 67
this line is damaged
2024-05-06 07:08:09,000200 [INFO] [5f3c][8080][k3v9qa-1 < 0]70 6f 6e 67
2024-05-06 07:08:09,000300 [INFO] [5f3c][8080][k3v9qa-1 close] RemoteClose > 4 < 4
`)
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: lines})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	for {
		r, err := d.Next()
		var damage *record.DamageError
		if errors.As(err, &damage) {
			fmt.Println(damage)
			continue
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if r.Kind == record.KindData {
			fmt.Printf("%s %s %q\n", r.Conn, r.Direction, r.Data)
		}
	}
	// Output:
	// k3v9qa-1 in "ping"
	// -: damaged at byte 166: not a record: no time
	// k3v9qa-1 out "pong"
}

// Streams finds what is missing between records, and which connections are complete.
func ExampleNewStreams() {
	streams := dump.NewStreams(
		func(c *dump.Connection, r *record.Record) error {
			switch r.Kind {
			case record.KindData:
				fmt.Printf("%s %s at %d: %q\n", c.Conn, r.Direction, r.Offset, r.Data)
			case record.KindGap:
				fmt.Printf("%s %s at %d: a gap of %d bytes (%s)\n", c.Conn, r.Direction, r.Offset, r.Length, r.Reason)
			}
			return nil
		},
		func(c *dump.Connection) error {
			fmt.Println(c.Conn, "from", c.Peer, "complete:", c.Complete())
			return nil
		})
	id := record.Identity{Window: "5f3c", Conn: "k3v9qa-1", Peer: "10.0.0.1:50000"}
	for _, r := range []record.Record{
		{Kind: record.KindOpen, Identity: id},
		{Kind: record.KindData, Identity: id, Direction: record.In, Offset: 0, Length: 4, Data: []byte("ping")},
		{Kind: record.KindData, Identity: id, Direction: record.In, Offset: 2, Length: 4, Data: []byte("ng!!")},
		{Kind: record.KindData, Identity: id, Direction: record.In, Offset: 9, Length: 3, Data: []byte("bye")},
		{Kind: record.KindClose, Identity: id, Reason: string(record.CloseRemote), Totals: record.PerDirection{In: 12}},
	} {
		if err := streams.Add(&r); err != nil {
			log.Fatal(err)
		}
	}
	if err := streams.Finish(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// k3v9qa-1 in at 0: "ping"
	// k3v9qa-1 in at 4: "!!"
	// k3v9qa-1 in at 6: a gap of 3 bytes (missing)
	// k3v9qa-1 in at 9: "bye"
	// k3v9qa-1 from 10.0.0.1:50000 complete: false
}
