package cli_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// smallDump writes a flow log with one line and returns its path.
func smallDump(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), layout.FlowLog)
	if err := os.WriteFile(path, []byte("2024-05-06 07:08:09,000000 [INFO] [w][8080][k3v9qa-1 > 0]6f 6e 65\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExportWritesToPipesAndNeverReplacesThem(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	run := start(context.Background(), "export", "-o", pipe, smallDump(t))
	f, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil || len(text) < 28 {
		t.Errorf("read %d bytes, %v", len(text), err)
	}
	run.endsWell(t)
	if info, err := os.Stat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("the pipe is now %v, %v", info.Mode(), err)
	}
}

func TestExportWritesThroughLinks(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	start(context.Background(), "export", "-o", link, smallDump(t)).endsWell(t)
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is now %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}
