package cli

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/tool/internal/benchdump"
)

// BenchmarkCalls lists the calls of a segment as JSON; its bytes are those of the file.
// Beside other load, MB/cpu-s says more than MB/s.
func BenchmarkCalls(b *testing.B) {
	for _, c := range []struct {
		name string
		path string
		args []string
	}{
		{"http1/1024", benchdump.HTTP1(b, 1<<10), nil},
		{"http1/16384", benchdump.HTTP1(b, 16<<10), nil},
		{"grpc/1024", benchdump.GRPC(b, 1<<10), nil},
		{"http1/1024/failed", benchdump.HTTP1(b, 1<<10), []string{"--where", "failed"}},
		{"http1/1024/header", benchdump.HTTP1(b, 1<<10), []string{"--where", `request.headers["x-request-id"] == "4712"`}},
		{"http1/1024/body", benchdump.HTTP1(b, 1<<10), []string{"--where", `response.body contains "timeout"`}},
		{"http1/1024/by", benchdump.HTTP1(b, 1<<10), []string{"--by", "route,status"}},
		{"http1/1024/sort", benchdump.HTTP1(b, 1<<10), []string{"--sort", "latency"}},
	} {
		b.Run(c.name, func(b *testing.B) { benchCalls(b, c.path, c.args...) })
	}
}

// benchCalls lists calls, and returns the processor time of one list.
func benchCalls(b *testing.B, path string, args ...string) time.Duration {
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	b.ReportAllocs()
	before := benchdump.ProcessorTime(b)
	for range b.N {
		if code := Run(b.Context(), "v0", append([]string{"calls", "-o", "json", path}, args...), nil, io.Discard, io.Discard); code != 0 {
			b.Fatalf("exit code %d", code)
		}
	}
	used := (benchdump.ProcessorTime(b) - before) / time.Duration(b.N)
	b.ReportMetric(float64(info.Size())/1e6/used.Seconds(), "MB/cpu-s")
	return used
}

// BenchmarkCallsBesideTshark compares the processor time of a list of calls with that of
// tshark, which prints the statuses of the answers, over the same file.
func BenchmarkCallsBesideTshark(b *testing.B) {
	tshark := program.Require(b, "tshark")
	path := benchdump.HTTP1(b, 1<<10)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	command := exec.Command(tshark, "-n", "-r", path, "-Y", "http.response", "-T", "fields", "-e", "http.response.code")
	out, err := command.Output()
	if err != nil {
		b.Fatal(err)
	}
	itsTime := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	listed := &lineCounter{}
	if code := Run(b.Context(), "v0", []string{"calls", path}, nil, listed, io.Discard); code != 0 {
		b.Fatalf("exit code %d", code)
	}
	if answers := bytes.Count(out, []byte("\n")); listed.lines-1 != answers { // one has the headings
		b.Fatalf("%d calls, tshark has %d answers", listed.lines-1, answers)
	}
	b.ResetTimer()
	used := benchCalls(b, path)
	b.ReportMetric(float64(info.Size())/1e6/itsTime.Seconds(), "tshark-MB/cpu-s")
	b.ReportMetric(itsTime.Seconds()/used.Seconds(), "x-tshark")
}

// lineCounter counts lines.
type lineCounter struct{ lines int }

// Write implements io.Writer.
func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}
