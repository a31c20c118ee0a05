package grep

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/program"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

// benchDump writes a segment of about 64 MiB: requests and answers of HTTP/1.1 of size
// bytes each, a record each, of 64 connections.
func benchDump(b *testing.B, size int) (path string) {
	path = filepath.Join(b.TempDir(), "b.pcapng")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const connections = 64
	start := time.Unix(1_700_000_000, 0).UnixNano()
	file, e := pcapng.AppendHead(nil, "mosn tcpcopy"), pcapng.NewEncoder()
	var flows []*record.Flow
	for i := range connections {
		of := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{
			Window: "5f3c9a52-7f4e-4b5e-9d7b-0c8f3f1e2a44", Conn: fmt.Sprintf("k3v9qa-%d", i+1), Port: "8080", ListenerName: "ingress", Network: "tcp",
			Peer: fmt.Sprintf("10.0.0.%d:50000", i+1), Listener: "10.9.9.9:8080",
		}}, FromStart: true}
		of.ClientAddr, of.ServerAddr = netip.MustParseAddrPort(of.Peer), netip.MustParseAddrPort(of.Listener)
		file = e.Open(file, start, of)
		flows = append(flows, of)
	}
	written := 0
	for i := 0; written+len(file) < 64<<20; i++ {
		of, dir := flows[i/2%connections], record.Direction(i%2)
		head := fmt.Sprintf("POST /api/v1/items/%d HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: load/1.0\r\nX-Request-Id: %d\r\nContent-Type: application/json\r\n", i%1000, i)
		if dir == record.Out {
			status := "200 OK"
			if i%10_001 == 0 {
				status = "503 Service Unavailable"
			}
			head = fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json\r\nServer: shop\r\n", status)
		}
		const last = "Content-Length: %05d\r\n\r\n"
		data := append(make([]byte, 0, size+64), head...)
		data = fmt.Appendf(data, last, size-len(head)-len(fmt.Sprintf(last, 0)))
		for len(data) < size {
			data = append(data, `{"sku":"4711","name":"a small thing","price":12.50,"tags":["one","two","three"]},`...)
		}
		file = e.Data(file, start+int64(i)*1000, of, dir, uint64(i/2/connections*size), data[:size])
		if len(file) > 1<<20 {
			if _, err := f.Write(file); err != nil {
				b.Fatal(err)
			}
			written += len(file)
			file = file[:0]
		}
	}
	if _, err := f.Write(file); err != nil {
		b.Fatal(err)
	}
	return path
}

// processorTime returns what the process has used: beside other load it says more than the
// time that has passed.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGrep searches a segment; its bytes are those of the file.
func BenchmarkGrep(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		path := benchDump(b, size)
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
				before := processorTime(b)
				for range b.N {
					matches = 0
					grepFile(b, path, p, &matches)
				}
				used := processorTime(b) - before
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
	path := benchDump(b, 1<<10)
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
	before := processorTime(b)
	for range b.N {
		matches = 0
		grepFile(b, path, p, &matches)
	}
	used := (processorTime(b) - before) / time.Duration(b.N)
	if answers := bytes.Count(out, []byte("\n")); matches != answers {
		b.Fatalf("%d matches, tshark has %d", matches, answers)
	}
	b.ReportMetric(float64(info.Size())/1e6/used.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(info.Size())/1e6/itsTime.Seconds(), "tshark-MB/cpu-s")
	b.ReportMetric(itsTime.Seconds()/used.Seconds(), "x-tshark")
}
