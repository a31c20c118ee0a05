package dumptest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/program"
)

// Tshark runs Wireshark's command over a pcapng file, with all checksums verified,
// and returns what it prints. It skips the test where there is no tshark.
func Tshark(t *testing.T, file []byte, args ...string) string {
	t.Helper()
	path := program.Require(t, "tshark")
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

// Follow returns the two directions of a TCP stream as tshark joins them.
func Follow(t *testing.T, file []byte, stream int) (in, out []byte) {
	t.Helper()
	text := Tshark(t, file, "-q", "-z", fmt.Sprintf("follow,tcp,raw,%d", stream))
	followed := parseFollowed(text)
	return followed[0], followed[1]
}

// FollowAll returns the directions of the TCP streams below n, and the lines of the
// packets that filter selects. Of a stream that there is not, both are empty.
func FollowAll(t *testing.T, file []byte, n int, filter string) (lines string, streams [][2][]byte) {
	t.Helper()
	args := []string{"-Y", filter}
	for i := n - 1; i >= 0; i-- { // it prints the last one first
		args = append(args, "-z", fmt.Sprintf("follow,tcp,raw,%d", i))
	}
	parts := strings.Split(Tshark(t, file, args...), "Filter: tcp.stream eq ")
	streams = make([][2][]byte, n)
	for _, text := range parts[1:] {
		number, text, _ := strings.Cut(text, "\n")
		if i, err := strconv.Atoi(number); err == nil && i < n {
			streams[i] = parseFollowed(text)
		}
	}
	lines, _, _ = strings.Cut(parts[0], "\n===")
	return strings.TrimSpace(strings.Trim(lines, "=\n")), streams
}

// parseFollowed reads what tshark prints of a stream.
func parseFollowed(text string) (stream [2][]byte) {
	for _, line := range strings.Split(text, "\n") {
		text, isOut := strings.CutPrefix(line, "\t")
		b, err := hex.DecodeString(text)
		switch {
		case err != nil || len(b) == 0: // the frame around the stream
		case isOut:
			stream[1] = append(stream[1], b...)
		default:
			stream[0] = append(stream[0], b...)
		}
	}
	return stream
}

// Complaints is the display filter of packets that Wireshark finds fault with.
const Complaints = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || tcp.analysis.flags"

// Tcpdump returns how many packets tcpdump reads in a pcapng file, as all programs that
// read with libpcap do. It fails the test where tcpdump does not read all of it.
func Tcpdump(t *testing.T, file []byte) (packets int) {
	t.Helper()
	path := program.Require(t, "tcpdump")
	name := filepath.Join(t.TempDir(), "test.pcapng")
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "-nn", "-t", "-q", "-r", name)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Errorf("tcpdump: %v\n%s", err, &stderr)
	}
	return bytes.Count(out, []byte("\n"))
}
