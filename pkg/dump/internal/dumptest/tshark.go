package dumptest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	for _, line := range strings.Split(Tshark(t, file, "-q", "-z", fmt.Sprintf("follow,tcp,raw,%d", stream)), "\n") {
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

// Complaints is the display filter of packets that Wireshark finds fault with.
const Complaints = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || tcp.analysis.flags"
