package test

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/pkg/record"
)

// A live stream shows what is recorded as it passes, over several windows.
func TestALiveStreamShowsRecordsAsTheyPass(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	stream := subscribe(t, m)
	received := &growing{}
	go received.fill(stream) // ends with the stream, which the test's end closes

	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sendAndReceive(t, conn, "before any window")
	for _, text := range []string{"in the first window", "in the second window"} {
		m.window(func() {
			sent := time.Now()
			sendAndReceive(t, conn, text)
			eventually(t, "the live stream shows "+text, func() bool { return bytes.Count(received.bytes(), []byte(text)) == 2 })
			t.Logf("shown after %v", time.Since(sent))
		})
	}
	if bytes.Contains(received.bytes(), []byte("before any window")) {
		t.Error("the live stream shows what passed out of windows")
	}
	streams := readStreams(t, received.bytes())
	if len(streams) != 2 {
		t.Errorf("%d connections, want one per window", len(streams))
	}
}

// A reader that stops reading loses records, and nobody else does.
func TestASlowLiveReaderLosesAlone(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base, roomy()), mosnproc.TCPProxy())))
	stream := subscribe(t, m)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id := m.open()
	// More than the queue and the sockets' buffers hold, until it shows; not faster
	// than the recorder under the race detector, whose own losses are not wanted.
	message := randomBytes(1, 256<<10)
	answer := make([]byte, len(message))
	eventually(t, "the stream loses records", func() bool {
		for range 2 {
			if _, err := conn.Write(message); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, answer); err != nil {
				t.Fatal(err)
			}
		}
		status, err := m.Admin.Status(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		return status.Live.Lost > 0
	})
	// The reader comes back and sees where it has missed something.
	received := &growing{}
	go received.fill(stream)
	eventually(t, "the stream has a gap", func() bool {
		sendAndReceive(t, conn, "are you there?")
		return bytes.Contains(received.bytes(), []byte("gap conn=")) || bytes.Contains(received.bytes(), []byte("buffer_full"))
	})
	w := m.close(id)
	complete(t, w) // nothing is lost to the file
	gaps := 0
	for _, records := range readStreams(t, received.bytes()) {
		for _, r := range records {
			if r.Kind == record.KindGap && r.Reason == record.ReasonBufferFull.String() {
				gaps++
			}
		}
	}
	if gaps == 0 {
		t.Error("the stream has no gap")
	}
}

// A live-only window has all that passes while its reader is there: before, in and after a
// window, which has its own. It ends with its reader, and FORCE_OFF ends it too.
func TestALiveOnlyWindowGoesOnBesideWindows(t *testing.T) {
	t.Parallel()
	base, address := newBase(t), freeAddress(t)
	m := start(t, base, configOf(upstream(t, echo),
		mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sendAndReceive(t, conn, "before anything")
	var stream io.Reader
	var id string
	var leave func()
	received := &growing{}
	said := 0
	say := func(text string) {
		sendAndReceive(t, conn, text)
		said += len(text)
		eventually(t, "the live stream shows "+text, func() bool { return bytes.Count(received.bytes(), []byte(text)) == 2 })
	}
	// It begins in a window, outlives it, and sees another one.
	first := m.window(func() {
		stream, id, leave = openStream(t, m, "?record=live")
		go received.fill(stream) // ends with the stream
		say("in the first window")
	})
	say("between the windows")
	second := m.window(func() { say("in the second window") })
	say("after the windows")
	leave()
	var line oracle.Window
	eventually(t, "the line of the live-only window", func() bool {
		line, err = oracle.FindWindow(m.dump, id)
		return err == nil
	})
	if line.Trigger != "live" || line.Seen != line.Written || line.Written.In != uint64(said) || line.Written.Out != uint64(said) || line.Connections != 1 || len(line.Files) > 0 {
		t.Errorf("line %+v, want %d bytes", line, said)
	}
	complete(t, first)
	complete(t, second)
	if first.Written.In != uint64(len("in the first window")) || second.Written.In != uint64(len("in the second window")) {
		t.Errorf("windows %+v, %+v", first.Written, second.Written)
	}
	for key, records := range readStreams(t, received.bytes()) {
		for _, r := range records {
			if r.Kind == record.KindGap || r.Window != id {
				t.Errorf("%s: %+v", key, r)
			}
		}
	}
	stream, _, _ = openStream(t, m, "?record=live&guard=off")
	ended := make(chan struct{})
	again := &growing{}
	go func() {
		defer close(ended)
		again.fill(stream)
	}()
	sendAndReceive(t, conn, "the last word")
	if err := m.Admin.Configure(deadline(t), "global", `{"switch": "FORCE_OFF"}`); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(timeout):
		t.Fatal("FORCE_OFF does not end the stream")
	}
	if !bytes.Contains(again.bytes(), []byte("the last word")) {
		t.Error("the stream does not have all")
	}
}

// What kills the process leaves the window that shared its memory with a live-only one whole,
// and nothing of the latter.
func TestAKilledProcessLeavesTheWindowBesideALiveOnlyOne(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skipf("no memory file system for the spool: %v", err)
	}
	base, server := newBase(t), upstream(t, echo)
	var address string
	next := func() *mosn {
		address = freeAddress(t)
		return start(t, base, configOf(server, mosnproc.NewListener("tcp", address, recorder(base), mosnproc.TCPProxy())))
	}
	m := next()
	stream, id, _ := openStream(t, m, "?record=live")
	received := &growing{}
	go received.fill(stream) // ends with the process
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sendAndReceive(t, conn, "before the window")
	window := m.open()
	text := strings.Repeat("in the window ", 10_000)
	sendAndReceive(t, conn, text)
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	m = next()
	eventually(t, "the killed process's window is in the index", func() bool {
		_, err := oracle.FindWindow(m.dump, window)
		return err == nil
	})
	w := m.indexed(window)
	if !w.Recovered || w.Written != w.Seen || w.Written.In != uint64(len(text)) || w.Written.Out != uint64(len(text)) {
		t.Errorf("%+v", w)
	}
	m.connections(w)
	if _, err := oracle.FindWindow(m.dump, id); err == nil {
		t.Error("the live-only window has a line")
	}
}
