package pcapng_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/internal/dumptest"
	"mosn.io/tcpcopy/pkg/dump/pcapng"
	"mosn.io/tcpcopy/pkg/record"
)

func TestTsharkFollowsEveryStream(t *testing.T) {
	file, encoder := dumptest.NewFile()
	var flows []*record.Flow
	for i, network := range []string{"tcp", "tcp", "unix", "unix"} {
		flows = append(flows, dumptest.NewFlow(network, i+1, fmt.Sprintf("10.0.0.%d:50000", i+1), "[2001:db8::2]:8080"))
		file = encoder.Open(file, dumptest.Time, flows[i])
	}
	var in, out [4][]byte
	for round := range 20 {
		for i, f := range flows {
			request := bytes.Repeat([]byte{byte(round), byte(i), 'q'}, 1+round*1500)
			answer := bytes.Repeat([]byte{byte(round), byte(i), 'a'}, 1+round*100)
			now := dumptest.Time + int64(round*10+i)
			file = encoder.Data(file, now, f, record.In, uint64(len(in[i])), request)
			file = encoder.Data(file, now, f, record.Out, uint64(len(out[i])), answer)
			in[i], out[i] = append(in[i], request...), append(out[i], answer...)
		}
	}
	for i, f := range flows {
		reason := []string{"RemoteClose", "LocalClose", "OnReadErrClose", "OnWriteTimeout"}[i]
		file = encoder.Close(file, dumptest.Time+1000, f, record.CloseReason(reason), record.PerDirection{In: uint64(len(in[i])), Out: uint64(len(out[i]))})
	}
	file = pcapng.AppendStatistics(file, dumptest.Time+1000, pcapng.Statistics{Window: dumptest.Window, Opened: dumptest.Time, Closed: dumptest.Time + 1000})

	if got := dumptest.Tshark(t, file, "-Y", dumptest.Complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	for i := range flows {
		gotIn, gotOut := dumptest.Follow(t, file, i)
		if !bytes.Equal(gotIn, in[i]) || !bytes.Equal(gotOut, out[i]) {
			t.Errorf("stream %d: %d and %d bytes, want %d and %d", i, len(gotIn), len(gotOut), len(in[i]), len(out[i]))
		}
	}
}

func TestTsharkShowsOneLossPerGap(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:8080")
	file = encoder.Open(file, dumptest.Time, f)
	file = encoder.Data(file, dumptest.Time, f, record.In, 0, []byte("before"))
	file = encoder.Gap(file, dumptest.Time, f, record.In, 6, 1000, record.ReasonLimit)
	file = encoder.Data(file, dumptest.Time, f, record.In, 1006, []byte("after"))
	file = encoder.Data(file, dumptest.Time, f, record.Out, 0, []byte("answer"))
	file = encoder.Close(file, dumptest.Time, f, "RemoteClose", record.PerDirection{In: 1011, Out: 6})

	got := strings.Fields(dumptest.Tshark(t, file, "-Y", "tcp.analysis.lost_segment", "-T", "fields", "-e", "frame.number", "-e", "tcp.seq"))
	if want := []string{"5", "1007"}; !strings.EqualFold(fmt.Sprint(got), fmt.Sprint(want)) {
		t.Errorf("losses at %v (frame, sequence number), want %v", got, want)
	}
	if comment := dumptest.Tshark(t, file, "-Y", "frame.number == 5", "-T", "fields", "-e", "frame.comment"); strings.TrimSpace(comment) != "gap conn=k3v9qa-1 > 6 1000 limit" {
		t.Errorf("the gap's comment is %q", comment)
	}
	in, out := dumptest.Follow(t, file, 0)
	if !bytes.HasPrefix(in, []byte("before")) || !bytes.HasSuffix(in, []byte("after")) || string(out) != "answer" {
		t.Errorf("followed %q and %q", in, out)
	}
}

func TestTsharkTakesRequestsAlone(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", "10.0.0.2:9999")
	f.FromStart, f.Next = false, record.PerDirection{In: 1 << 40, Out: 77}
	file = encoder.Open(file, dumptest.Time, f)
	var want []byte
	for i := range 50 {
		part := bytes.Repeat([]byte{byte(i)}, 3000)
		file = encoder.Data(file, dumptest.Time+int64(i), f, record.In, f.Next.In, part)
		want = append(want, part...)
	}
	file = encoder.Close(file, dumptest.Time+100, f, "LocalClose", record.PerDirection{In: f.Next.In, Out: 1 << 20})
	if got := dumptest.Tshark(t, file, "-Y", dumptest.Complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	if in, _ := dumptest.Follow(t, file, 0); !bytes.Equal(in, want) {
		t.Errorf("followed %d bytes, want %d", len(in), len(want))
	}
}

func TestTsharkDissectsHTTP(t *testing.T) {
	for _, server := range []string{"10.0.0.2:80", "[2001:db8::2]:8080"} {
		file, encoder := dumptest.NewFile()
		f := dumptest.NewFlow("tcp", 1, "10.0.0.1:50000", server)
		request, answer := []byte("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		answer = append(answer, bytes.Repeat([]byte("x"), 100000)...)
		file = encoder.Open(file, dumptest.Time, f)
		file = encoder.Data(file, dumptest.Time, f, record.In, 0, request)
		file = encoder.Data(file, dumptest.Time, f, record.Out, 0, answer)
		got := strings.Fields(dumptest.Tshark(t, file, "-Y", "http", "-T", "fields", "-e", "http.request.uri", "-e", "http.response.code", "-e", "http.content_length"))
		if fmt.Sprint(got) != "[/hello 200 100000]" {
			t.Errorf("%s: HTTP %v", server, got)
		}
	}
}

func TestTsharkReadsDatagrams(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("udp", 1, "10.0.0.1:50000", "[2001:db8::2]:9999")
	file = encoder.Open(file, dumptest.Time, f)
	file = encoder.Data(file, dumptest.Time, f, record.In, 0, []byte("ping"))
	file = encoder.Gap(file, dumptest.Time, f, record.In, 4, 4, record.ReasonGuard)
	file = encoder.Data(file, dumptest.Time, f, record.Out, 0, []byte("pong"))
	file = encoder.Close(file, dumptest.Time, f, "LocalClose", record.PerDirection{In: 8, Out: 4})
	if got := dumptest.Tshark(t, file, "-Y", dumptest.Complaints); got != "" {
		t.Errorf("tshark complains of\n%s", got)
	}
	got := strings.Fields(dumptest.Tshark(t, file, "-T", "fields", "-e", "udp.length", "-e", "data.data"))
	if want := "[12 70696e67 8 12 706f6e67 8]"; fmt.Sprint(got) != want {
		t.Errorf("lengths and data %v, want %s", got, want)
	}
}

func TestTsharkReadsInterfaceAndStatistics(t *testing.T) {
	file, encoder := dumptest.NewFile()
	f := dumptest.NewFlow("udp", 1, "10.0.0.1:50000", "10.0.0.2:9999")
	file = encoder.Data(encoder.Open(file, dumptest.Time, f), dumptest.Time, f, record.In, 0, []byte("x"))
	file = pcapng.AppendStatistics(file, dumptest.Time+5, pcapng.Statistics{Window: dumptest.Window, Opened: dumptest.Time, Closed: dumptest.Time + 5})
	got := strings.TrimSpace(dumptest.Tshark(t, file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e", "frame.packet_flags_direction"))
	if want := "tcpcopy\t1700000000.123456789\t0x00000001"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
