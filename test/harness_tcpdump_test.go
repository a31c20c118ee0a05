package test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/program"
)

// sniffer is a running tcpdump.
type sniffer struct {
	command *exec.Cmd
	address string
	path    string
	output  bytes.Buffer  // what it wrote after it had begun; read once done is closed
	done    chan struct{} // closed when it has ended
}

// sniff begins to capture the port of address, or skips the test where that
// cannot be done.
func sniff(t *testing.T, address string) *sniffer {
	t.Helper()
	tcpdump := program.Require(t, "tcpdump")
	s := &sniffer{address: address, path: filepath.Join(t.TempDir(), "lo.pcap"), done: make(chan struct{})}
	// Each packet goes to the file at once (-U), and there is room (-B, KiB) for
	// as many as wait for a busy machine.
	s.command = exec.Command(tcpdump, "-i", "lo", "-n", "-s", "0", "-B", "262144", "-U", "-w", s.path, "tcp", "port", portOf(address))
	stderr, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.command.Process.Kill() // or it has ended
		<-s.done
		_ = s.command.Wait() // end has judged it, if it was called
	})
	lines := bufio.NewReader(stderr)
	var before strings.Builder
	for !strings.Contains(before.String(), "listening on") {
		line, err := lines.ReadString('\n')
		before.WriteString(line)
		if err != nil {
			close(s.done)
			t.Skipf("tcpdump cannot capture here: %s", before.String())
		}
	}
	go func() { // ends with the process
		defer close(s.done)
		_, _ = s.output.ReadFrom(lines)
	}()
	return s
}

var dropped = regexp.MustCompile(`([1-9]\d*) packets? dropped by kernel`)

// end stops the capture once it has all that has passed, and returns its file.
func (s *sniffer) end(t *testing.T) string {
	t.Helper()
	// An open connection that nobody records comes last: what came before its
	// first packet is in the file when that is.
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	syn := fmt.Sprintf("tcp.flags.syn == 1 && tcp.srcport == %s", portOf(conn.LocalAddr().String()))
	eventually(t, "tcpdump has seen the last connection", func() bool {
		out, _ := exec.Command("tshark", "-n", "-r", s.path, "-Y", syn).Output() // the file's end may be cut
		return len(out) > 0
	})
	if err := s.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-s.done
	if lost := dropped.FindString(s.output.String()); lost != "" {
		t.Skipf("tcpdump has not kept up, there is nothing to compare with: %s", lost)
	}
	return s.path
}
