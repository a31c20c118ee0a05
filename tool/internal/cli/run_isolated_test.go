package cli

import (
	"context"
	"io"
	"strings"

	"mosn.io/tcpcopy/tool/internal/reading"
)

// RunIsolated is Run on a machine on which a default directory exists only if it is
// in the folder home: what recorders have written on this one changes no test.
func RunIsolated(ctx context.Context, home string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := newTool(stdin, stdout, stderr)
	t.version = "v1.2.3-test"
	t.isDir = func(path string) bool {
		return strings.HasPrefix(path, home+"/") && reading.IsDir(path)
	}
	return t.run(ctx, args)
}
