package replay_test

import (
	"math"
	"net"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/replay"
)

// BenchmarkTurns compares turns per second of a replay at full speed on one
// connection with those of a loop that sends and receives and does nothing else.
func BenchmarkTurns(b *testing.B) {
	const request = "get some key that is not too short\n"
	server := serve(b, echo)
	b.Run("hand-written", func(b *testing.B) {
		conn, err := net.Dial("tcp", server.Address)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if _, err := conn.Write([]byte(request)); err != nil {
				b.Fatal(err)
			}
			for got := 0; got < len(request); {
				n, err := conn.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				got += n
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "turns/s")
	})
	b.Run("replay", func(b *testing.B) {
		turns := make([][2]string, b.N)
		for i := range turns {
			turns[i] = [2]string{request, request}
		}
		recording := loadTurns(b, replay.LoadOptions{}, 1, turns...)
		b.ReportAllocs()
		b.ResetTimer()
		result := run(b, recording, replay.Options{Target: server, Speed: math.Inf(1)})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "turns/s")
		if result.Equal != uint64(b.N) {
			b.Fatalf("%+v", result.Counts)
		}
	})
}

// BenchmarkPace replays ten seconds at speeds 1 and 2 and reports by how much
// it missed them. One iteration lasts as long as the recording.
func BenchmarkPace(b *testing.B) {
	const length = 10 * time.Second
	r := paced(4, length, 20*time.Millisecond)
	server := serve(b, lines(shout))
	for _, speed := range []float64{1, 2} {
		b.Run(map[float64]string{1: "speed 1", 2: "speed 2"}[speed], func(b *testing.B) {
			for range b.N {
				result := r.run(b, replay.Options{Target: server, Speed: speed})
				if err := onTime(result, length, speed); err != nil {
					b.Error(err)
				}
				due := float64(length) / speed
				b.ReportMetric(100*(float64(result.Elapsed)-due)/due, "%off")
				b.ReportMetric(float64(result.Lateness.Quantile(0.99).Microseconds()), "p99-late-µs")
			}
		})
	}
}
