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

// emptyDump writes a flow log without a line and returns its path.
func emptyDump(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), layout.FlowLog)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExportWritesToPipesAndNeverReplacesThem(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes here:", err)
	}
	run := start(context.Background(), "export", "-o", pipe, emptyDump(t))
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
	start(context.Background(), "export", "-o", link, emptyDump(t)).endsWell(t)
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is now %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}
