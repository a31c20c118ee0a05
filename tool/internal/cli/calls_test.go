package cli_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/tool/internal/cli"
)

// What is printed after Ctrl-C is not mistaken for what is true of the whole dump.
func TestCallsSayThatTheyWereInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{nil, {"--by", "route"}, {"--sort", "latency"}, {"--sort", "latency", "--top", "3"}} {
		var stdout, stderr bytes.Buffer
		code := cli.Run(ctx, "", append(append([]string{"calls"}, flags...), path), strings.NewReader(""), &stdout, &stderr)
		if code != 3 || !strings.Contains(stderr.String(), "interrupted: a part of the dump was read") {
			t.Errorf("%q: exit code %d, %q, want 3 and why", flags, code, stderr.String())
		}
	}
}
