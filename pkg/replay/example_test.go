package replay_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"regexp"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/replay"
)

// Replay what is in a dump directory to a server, as fast as it answers.
func Example() {
	// A server that echoes lines stands for the new build.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer listener.Close()
	go func() { // ends when the listener is closed
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			echo(conn)
			conn.Close()
		}
	}()

	reader, err := dump.Open([]string{"testdata/example"}, dump.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	recording, err := replay.Load(reader, replay.LoadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}

	replayer, err := replay.New(recording, replay.Options{
		Target: replay.Server{Address: listener.Addr().String()},
		Speed:  math.Inf(1),
		Rules:  replay.Rules{Ignore: []*regexp.Regexp{regexp.MustCompile(`id=(\d+)`)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := replayer.Run(context.Background())
	if err := errors.Join(err, recording.Close(), reader.Close()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d turns: %d equal, %d different\n", result.Turns, result.Equal, result.Different)
	for _, c := range result.Conns {
		for _, d := range c.Differences {
			fmt.Printf("%s turn %d at byte %d: %q, recorded was %q\n", c.Conn, d.Turn, d.At, d.Replayed.Bytes, d.Recorded.Bytes)
		}
	}
	// Output:
	// 3 turns: 2 equal, 1 different
	// k3v9qa-17 turn 3 at byte 5: "once more\n", recorded was "once again\n"
}
