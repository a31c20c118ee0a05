package test

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What `make dist` has put into the folder that DIST names is what its file names say:
// programs for two machines that need no library of the system, with their version and
// the right checksums. Building them takes minutes, so that the continuous integration
// alone does it.
func TestDistHasStaticProgramsWithChecksums(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("DIST")
	if dir == "" {
		t.Skip("DIST is not set to a folder that make dist has made")
	}
	sums := map[string]string{} // by the name of the file
	for _, line := range strings.Split(strings.TrimSpace(string(mustRead(t, filepath.Join(dir, "SHA256SUMS")))), "\n") {
		sum, name, ok := strings.Cut(line, "  ")
		if !ok {
			t.Fatalf("SHA256SUMS has the line %q", line)
		}
		sums[name] = sum
	}
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for name, machine := range machines {
		for _, program := range []string{"mosn", "tcpcopyctl"} {
			paths, err := filepath.Glob(filepath.Join(dir, program+"-*-linux-"+name))
			if err != nil || len(paths) != 1 {
				t.Errorf("%s for %s: %q, %v", program, name, paths, err)
				continue
			}
			path := paths[0]
			sum := sha256.Sum256(mustRead(t, path))
			if got := hex.EncodeToString(sum[:]); got != sums[filepath.Base(path)] {
				t.Errorf("%s has the sum %s, SHA256SUMS says %q", path, got, sums[filepath.Base(path)])
			}
			delete(sums, filepath.Base(path))
			checkStatic(t, path, machine)
		}
	}
	if len(sums) != 0 {
		t.Errorf("SHA256SUMS has also %v", sums)
	}

	paths, _ := filepath.Glob(filepath.Join(dir, "mosn-*-linux-"+runtime.GOARCH))
	if len(paths) != 1 {
		t.Skipf("no program for this machine: %q", paths)
	}
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(paths[0]), "mosn-"), "-linux-"+runtime.GOARCH)
	out, err := exec.CommandContext(deadline(t), paths[0], "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "mosn "+version+" (MOSN v") {
		t.Errorf("its version is %q, %v", out, err)
	}
}

// checkStatic fails the test unless path is a program for machine without a loader or
// libraries.
func checkStatic(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = f.Close() }()
	if f.Machine != machine || f.Type != elf.ET_EXEC {
		t.Errorf("%s is %v for %v, want %v for %v", path, f.Type, f.Machine, elf.ET_EXEC, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s has a segment %v", path, p.Type)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o111 != 0o111 {
		t.Errorf("%s: mode %v, %v; others cannot execute it", path, info.Mode(), err)
	}
}
