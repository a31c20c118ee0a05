package grep

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/tool/internal/benchdump"
)

// BenchmarkGrep searches a segment; its bytes are those of the file.
func BenchmarkGrep(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		path := benchdump.HTTP1(b, size)
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name, text string
			o          Options
		}{
			{"literal", "X-Request-Id: 4712\r\n", Options{Fixed: true}},
			{"prefix", `HTTP/1.1 50\d`, Options{}},
			{"inner", `^HTTP/1\.[01] 50\d .*$`, Options{}},
			{"words", "timeout|refused|reset", Options{}},
			{"ignore-case", "x-request-id: 4712", Options{Fixed: true, IgnoreCase: true}},
			{"frequent", `Host: \S+`, Options{}},
			{"expression", `\d{5}-\w+`, Options{}},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				p := mustCompile(b, c.text, c.o)
				b.SetBytes(info.Size())
				b.ReportAllocs()
				matches := 0
				before := benchdump.ProcessorTime(b)
				for range b.N {
					matches = 0
					grepFile(b, path, p, &matches)
				}
				used := benchdump.ProcessorTime(b) - before
				b.ReportMetric(float64(info.Size())*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
				b.ReportMetric(float64(matches), "matches")
			})
		}
	}
}

func grepFile(b *testing.B, path string, p *Pattern, matches *int) {
	d, err := dump.Open([]string{path}, dump.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	s := New(p, 40, func(*Match) error { *matches++; return nil })
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = s.Add(r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGrepBesideTshark compares the processor time of a search for the statuses of
// answers with that of tshark, which prints them, over the same file.
func BenchmarkGrepBesideTshark(b *testing.B) {
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
	p := mustCompile(b, `HTTP/1\.1 \d{3}`, Options{})
	b.SetBytes(info.Size())
	b.ResetTimer()
	matches := 0
	before := benchdump.ProcessorTime(b)
	for range b.N {
		matches = 0
		grepFile(b, path, p, &matches)
	}
	used := (benchdump.ProcessorTime(b) - before) / time.Duration(b.N)
	if answers := bytes.Count(out, []byte("\n")); matches != answers {
		b.Fatalf("%d matches, tshark has %d", matches, answers)
	}
	b.ReportMetric(float64(info.Size())/1e6/used.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(info.Size())/1e6/itsTime.Seconds(), "tshark-MB/cpu-s")
	b.ReportMetric(itsTime.Seconds()/used.Seconds(), "x-tshark")
}
