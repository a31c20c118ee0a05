package mosnproc

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build compiles cmd/mosn into dir, under the race detector if race is set, and
// returns the binary's path. It must be called from inside the module.
func Build(ctx context.Context, dir string, race bool) (string, error) {
	binary := filepath.Join(dir, "mosn")
	args := []string{"build", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	args = append(args, "mosn.io/tcpcopy/cmd/mosn")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %q: %w\n%s", args, err, out)
	}
	return binary, nil
}
