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

// A dump is read record by record; damage is told in between and ends nothing.
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
	tracker := dump.NewTracker(func(c *dump.Connection) {
		fmt.Println(c.Conn, "from", c.Peer, "complete:", c.Complete())
	})
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
		tracker.Add(r)
		if r.Kind == record.KindData {
			fmt.Printf("%s %s %q\n", r.Conn, r.Direction, r.Data)
		}
	}
	tracker.Finish()
	// Output:
	// k3v9qa-1 in "ping"
	// -: damaged at byte 166: not a record: no time
	// k3v9qa-1 out "pong"
	// k3v9qa-1 from 10.0.0.1:50000 complete: true
}
