package test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/mosnproc"
	"mosn.io/tcpcopy/internal/oracle"
	"mosn.io/tcpcopy/internal/program"
)

// capture is a pcapng file as Wireshark reads it.
type capture struct {
	t       *testing.T
	path    string
	options []string // how tshark is to read it
}

// openCapture opens files as one capture, one after the other. Merged by time they
// would not do: each holds the batches of several workers, which are in order of
// time only by themselves.
func openCapture(t *testing.T, paths ...string) *capture {
	t.Helper()
	program.Require(t, "tshark")
	if len(paths) == 0 {
		t.Fatal("there is no capture")
	}
	c := &capture{t: t, path: paths[0], options: []string{"-n",
		"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}}
	if len(paths) > 1 {
		c.path = filepath.Join(t.TempDir(), "merged.pcapng")
		args := append([]string{"-a", "-w", c.path}, paths...)
		if out, err := exec.Command(program.Require(t, "mergecap"), args...).CombinedOutput(); err != nil {
			t.Fatalf("merge %d segments: %v\n%s", len(paths), err, out)
		}
	}
	return c
}

// segments returns the window's pcapng files, in the order in which they were
// written.
func (m *mosn) segments(w oracle.Window) []string {
	var paths []string
	for _, name := range w.Files {
		if filepath.Ext(name) == ".pcapng" {
			paths = append(paths, filepath.Join(m.dump, name))
		}
	}
	slices.Sort(paths)
	return paths
}

// opaque makes tshark take what passes through the listeners for bytes of no
// protocol: random ones may look like some protocol's, malformed.
func (c *capture) opaque(listeners ...mosnproc.Listener) {
	for _, l := range listeners {
		port := "1" // the stand-in of Unix sockets, see docs/format.md
		if l.Network != "unix" {
			port = l.Address[strings.LastIndexByte(l.Address, ':')+1:]
		}
		c.options = append(c.options, "-d", "tcp.port=="+port+",data")
	}
}

// read runs tshark over the capture and hands its output to parse, which reads
// all of it.
func (c *capture) read(parse func(io.Reader) error, args ...string) {
	c.t.Helper()
	args = slices.Concat([]string{"-r", c.path}, c.options, args)
	command := exec.Command(program.Require(c.t, "tshark"), args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		c.t.Fatal(err)
	}
	parseErr := parse(output)
	if err := command.Wait(); err != nil || parseErr != nil {
		c.t.Fatalf("tshark %.300q: %v, %v\n%s", args, err, parseErr, &stderr)
	}
}

// fields returns fields of the packets that match filter, a row a packet.
func (c *capture) fields(filter string, names ...string) (rows [][]string) {
	c.t.Helper()
	args := []string{"-Y", filter, "-T", "fields"}
	for _, name := range names {
		args = append(args, "-e", name)
	}
	c.read(func(r io.Reader) error {
		text, err := io.ReadAll(r)
		for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			if line != "" {
				rows = append(rows, strings.Split(line, "\t"))
			}
		}
		return err
	}, args...)
	return rows
}

// What Wireshark has to say of packets that are not in order. The second one is
// of streams of which packets are missing or in the wrong place; it includes
// tcp.analysis.lost_segment, ack_lost_segment, retransmission and out_of_order.
const (
	damaged = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
	broken  = "tcp.analysis.flags"
)

// clean fails the test if Wireshark complains of a packet.
func (c *capture) clean(complaints string) {
	c.t.Helper()
	rows := c.fields(complaints, "frame.number", "tcp.stream", "tcp.seq", "tcp.ack", "tcp.len", "_ws.expert.message")
	for i, row := range rows {
		if i == 10 {
			c.t.Errorf("… and %d more", len(rows)-i)
			break
		}
		c.t.Errorf("tshark complains of frame %s (stream %s, sequence number %s, acknowledges %s, length %s): %s", row[0], row[1], row[2], row[3], row[4], row[5])
	}
}

// whole fails the test if tcpdump, as all that read with libpcap, does not find the
// packets in the capture that tshark finds.
func (c *capture) whole() {
	c.t.Helper()
	command := exec.Command(program.Require(c.t, "tcpdump"), "-nn", "-t", "-q", "-r", c.path)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		c.t.Errorf("tcpdump: %v\n%s", err, &stderr)
	}
	if got, want := bytes.Count(out, []byte("\n")), len(c.fields("frame", "frame.number")); got != want || want == 0 {
		c.t.Errorf("tcpdump reads %d packets, tshark %d", got, want)
	}
}

// streams returns what "follow" gives of the n TCP streams that the capture must
// have.
func (c *capture) streams(n int) []*oracle.Connection {
	c.t.Helper()
	args := []string{"-q"}
	for i := range n + 1 { // one more, which must be empty
		args = append(args, "-z", fmt.Sprintf("follow,tcp,raw,%d", i))
	}
	var all []*oracle.Connection
	c.read(func(r io.Reader) (err error) {
		all, err = parseFollowed(r)
		return err
	}, args...)
	all = slices.DeleteFunc(all, func(s *oracle.Connection) bool { return len(s.In.Pieces)+len(s.Out.Pieces) == 0 })
	if len(all) != n {
		c.t.Errorf("tshark finds %d streams with payload, want %d", len(all), n)
	}
	return all
}

// parseFollowed reads what tshark prints of followed streams: a frame of lines
// around each, and in it a line of hex digits for each piece, those of the second
// node behind a tab.
func parseFollowed(r io.Reader) ([]*oracle.Connection, error) {
	var all []*oracle.Connection
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "Filter: tcp.stream") {
			all = append(all, &oracle.Connection{Conn: "that matches " + strings.TrimPrefix(line, "Filter: ")})
			continue
		}
		if len(all) == 0 || line == "" {
			continue
		}
		s := all[len(all)-1]
		if node, ok := strings.CutPrefix(line, "Node 0: "); ok {
			s.Client = node
		}
		text, isOut := strings.CutPrefix(line, "\t")
		payload, err := hex.DecodeString(text)
		if err != nil {
			continue // of the frame
		}
		to := &s.In
		if isOut {
			to = &s.Out
		}
		to.Pieces = append(to.Pieces, oracle.Line{Offset: to.End(), Length: uint64(len(payload)), Payload: payload})
	}
	return all, lines.Err()
}
