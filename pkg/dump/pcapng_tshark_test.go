package dump_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/record"
)

// tshark runs Wireshark's command over a capture, with all checksums verified,
// and returns what it prints.
func tshark(t *testing.T, file []byte, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed: the oracle of these tests is missing")
	}
	name := filepath.Join(t.TempDir(), "test.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-n", "-r", name, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}, args...)
	command := exec.Command(path, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("tshark %q: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// follow returns the two directions of a TCP stream as tshark joins them.
func follow(t *testing.T, file []byte, stream int) (in, out []byte) {
	t.Helper()
	for _, line := range strings.Split(tshark(t, file, "-q", "-z", fmt.Sprintf("follow,tcp,raw,%d", stream)), "\n") {
		text, isOut := strings.CutPrefix(line, "\t")
		b, err := hex.DecodeString(text)
		switch {
		case err != nil || len(b) == 0: // the frame around the stream
		case isOut:
			out = append(out, b...)
		default:
			in = append(in, b...)
		}
	}
	return in, out
}

const complaints = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || tcp.analysis.flags"

func TestTsharkFollowsEveryStream(t *testing.T) {
	file, encoder := newCapture()
	var flows []*record.Flow
	for i, network := range []string{"tcp", "tcp", "unix", "unix"} {
		flows = append(flows, newFlow(network, i+1, fmt.Sprintf("10.0.0.%d:50000", i+1), "[2001:db8::2]:8080"))
		file = encoder.Open(file, testTime, flows[i])
	}
	var in, out [4][]byte
	for round := range 20 {
		for i, f := range flows {
			request := bytes.Repeat([]byte{byte(round), byte(i), 'q'}, 1+round*1500)
			answer := bytes.Repeat([]byte{byte(round), byte(i), 'a'}, 1+round*100)
			now := testTime + int64(round*10+i)
			file = encoder.Data(file, now, f, record.In, uint64(len(in[i])), request)
			file = encoder.Data(file, now, f, record.Out, uint64(len(out[i])), answer)
			in[i], out[i] = append(in[i], request...), append(out[i], answer...)
		}
	}
	for i, f := range flows {
		reason := []string{"RemoteClose", "LocalClose", "OnReadErrClose", "OnWriteTimeout"}[i]
		file = encoder.Close(file, testTime+1000, f, record.CloseReason(reason), record.PerDirection{In: uint64(len(in[i])), Out: uint64(len(out[i]))})
	}
	file = dump.AppendInterfaceStatistics(file, 0, testTime+1000, dump.InterfaceStatistics{Window: testWindow, Opened: testTime, Closed: testTime + 1000})

	if got := tshark(t, file, "-Y", complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	for i := range flows {
		gotIn, gotOut := follow(t, file, i)
		if !bytes.Equal(gotIn, in[i]) || !bytes.Equal(gotOut, out[i]) {
			t.Errorf("stream %d: %d and %d bytes, want %d and %d", i, len(gotIn), len(gotOut), len(in[i]), len(out[i]))
		}
	}
}

func TestTsharkShowsOneLossPerGap(t *testing.T) {
	file, encoder := newCapture()
	f := newFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, testTime, f)
	file = encoder.Data(file, testTime, f, record.In, 0, []byte("before"))
	file = encoder.Gap(file, testTime, f, record.In, 6, 1000, record.ReasonLimit)
	file = encoder.Data(file, testTime, f, record.In, 1006, []byte("after"))
	file = encoder.Data(file, testTime, f, record.Out, 0, []byte("answer"))
	file = encoder.Close(file, testTime, f, "RemoteClose", record.PerDirection{In: 1011, Out: 6})

	got := strings.Fields(tshark(t, file, "-Y", "tcp.analysis.lost_segment", "-T", "fields", "-e", "frame.number", "-e", "tcp.seq"))
	if want := []string{"5", "1007"}; !strings.EqualFold(fmt.Sprint(got), fmt.Sprint(want)) {
		t.Errorf("losses at %v (frame, sequence number), want %v", got, want)
	}
	if comment := tshark(t, file, "-Y", "frame.number == 5", "-T", "fields", "-e", "frame.comment"); strings.TrimSpace(comment) != "gap conn=k3v9qa-1 > 6 1000 limit" {
		t.Errorf("the gap's comment is %q", comment)
	}
	in, out := follow(t, file, 0)
	if !bytes.HasPrefix(in, []byte("before")) || !bytes.HasSuffix(in, []byte("after")) || string(out) != "answer" {
		t.Errorf("followed %q and %q", in, out)
	}
}

func TestTsharkTakesRequestsAlone(t *testing.T) {
	file, encoder := newCapture()
	f := newFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:9999")
	f.FromStart, f.Next = false, record.PerDirection{In: 1 << 40, Out: 77}
	file = encoder.Open(file, testTime, f)
	var want []byte
	for i := range 50 {
		part := bytes.Repeat([]byte{byte(i)}, 3000)
		file = encoder.Data(file, testTime+int64(i), f, record.In, f.Next.In, part)
		want = append(want, part...)
	}
	file = encoder.Close(file, testTime+100, f, "LocalClose", record.PerDirection{In: f.Next.In, Out: 1 << 20})
	if got := tshark(t, file, "-Y", complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	if in, _ := follow(t, file, 0); !bytes.Equal(in, want) {
		t.Errorf("followed %d bytes, want %d", len(in), len(want))
	}
}

func TestTsharkDissectsHTTP(t *testing.T) {
	for _, server := range []string{"10.0.0.2:80", "[2001:db8::2]:8080"} {
		file, encoder := newCapture()
		f := newFlow("tcp", 1, "10.0.0.1:50000", server)
		request, answer := []byte("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		answer = append(answer, bytes.Repeat([]byte("x"), 100000)...)
		file = encoder.Open(file, testTime, f)
		file = encoder.Data(file, testTime, f, record.In, 0, request)
		file = encoder.Data(file, testTime, f, record.Out, 0, answer)
		got := strings.Fields(tshark(t, file, "-Y", "http", "-T", "fields", "-e", "http.request.uri", "-e", "http.response.code", "-e", "http.content_length"))
		if fmt.Sprint(got) != "[/hello 200 100000]" {
			t.Errorf("%s: HTTP %v", server, got)
		}
	}
}

func TestTsharkReadsDatagrams(t *testing.T) {
	file, encoder := newCapture()
	f := newFlow("udp", 1, "10.0.0.1:50000", "[2001:db8::2]:9999")
	file = encoder.Open(file, testTime, f)
	file = encoder.Data(file, testTime, f, record.In, 0, []byte("ping"))
	file = encoder.Gap(file, testTime, f, record.In, 4, 4, record.ReasonGuard)
	file = encoder.Data(file, testTime, f, record.Out, 0, []byte("pong"))
	file = encoder.Close(file, testTime, f, "LocalClose", record.PerDirection{In: 8, Out: 4})
	if got := tshark(t, file, "-Y", complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	got := strings.Fields(tshark(t, file, "-T", "fields", "-e", "udp.length", "-e", "data.data"))
	if want := "[12 70696e67 8 12 706f6e67 8]"; fmt.Sprint(got) != want {
		t.Errorf("lengths and data %v, want %s", got, want)
	}
}

func TestTsharkReadsInterfaceAndStatistics(t *testing.T) {
	file, encoder := newCapture()
	f := newFlow("udp", 1, "10.0.0.1:50000", "10.0.0.2:9999")
	file = encoder.Data(encoder.Open(file, testTime, f), testTime, f, record.In, 0, []byte("x"))
	file = dump.AppendInterfaceStatistics(file, 0, testTime+5, dump.InterfaceStatistics{Window: testWindow, Opened: testTime, Closed: testTime + 5, Received: 9, Dropped: 2})
	got := strings.TrimSpace(tshark(t, file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e", "frame.packet_flags_direction"))
	if want := "ingress\t1700000000.123456789\t0x00000001"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTsharkReadsWhatIsExportedFromLines(t *testing.T) {
	const conns = 64
	encoder := dump.NewHexMeta()
	var lines []byte
	var flows [conns]*record.Flow
	var sent [conns][2][]byte
	for i := range flows {
		flows[i] = newFlow("tcp", i+1, fmt.Sprintf("10.0.0.%d:50000", i+1), "10.9.9.9:8080")
	}
	for round := range 5 {
		for i, f := range flows {
			now := testTime + int64(round*1000+i)*1000
			if round == 0 {
				lines = encoder.Open(lines, now, f)
			}
			for dir := range record.Direction(2) {
				data := bytes.Repeat([]byte{byte(i), byte(round), byte(dir)}, 1+i*700)
				lines = encoder.Data(lines, now, f, dir, uint64(len(sent[i][dir])), data)
				sent[i][dir] = append(sent[i][dir], data...)
			}
		}
	}
	for i, f := range flows {
		lines = encoder.Close(lines, testTime+1e9, f, "RemoteClose", record.PerDirection{In: uint64(len(sent[i][0])), Out: uint64(len(sent[i][1]))})
	}
	d, err := dump.Open([]string{"-"}, dump.Options{Stdin: bytes.NewReader(lines)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	var file bytes.Buffer
	exporter := dump.NewExporter(&file, "test")
	for r, err := d.Next(); err == nil; r, err = d.Next() {
		if err := exporter.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := exporter.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := tshark(t, file.Bytes(), "-Y", complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	for _, i := range []int{0, 31, 63} {
		if in, out := follow(t, file.Bytes(), i); !bytes.Equal(in, sent[i][0]) || !bytes.Equal(out, sent[i][1]) {
			t.Errorf("stream %d: %d and %d bytes, want %d and %d", i, len(in), len(out), len(sent[i][0]), len(sent[i][1]))
		}
	}
}
