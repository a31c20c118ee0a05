package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// requirements is what "go mod edit -json" prints of a go.mod file.
type requirements struct {
	Go      string
	Require []struct{ Path, Version string }
}

// versions returns the version of each module that is required.
func (r *requirements) versions() map[string]string {
	all := map[string]string{}
	for _, m := range r.Require {
		all[m.Path] = m.Version
	}
	return all
}

// goIn runs the go command in a folder and returns its standard output.
func goIn(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	command := exec.Command("go", args...)
	command.Dir, command.Env = dir, append(os.Environ(), env...)
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %q: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// required reads a go.mod file.
func required(t *testing.T, file string) *requirements {
	t.Helper()
	r := &requirements{}
	if err := json.Unmarshal([]byte(goIn(t, filepath.Dir(file), nil, "mod", "edit", "-json", filepath.Base(file))), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// newHost writes the program in testdata/host as a module that requires MOSN at the
// version of the root module, and tidies it. It returns the module's folder.
func newHost(t *testing.T, mosn string) string {
	t.Helper()
	dir := t.TempDir()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	gomod := fmt.Sprintf("module example.com/host\n\ngo 1.23\n\nrequire (\n\tmosn.io/mosn %s\n\t%s v0.0.0\n)\n\nreplace %[2]s => %q\n", mosn, module, root)
	for name, content := range map[string][]byte{
		"go.mod":  []byte(gomod),
		"go.sum":  mustRead(t, "../go.sum"), // so that nobody is asked for the sums
		"main.go": mustRead(t, "testdata/host/main.go"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	goIn(t, dir, nil, "mod", "tidy")
	return dir
}

// platforms are those for which the modules in this project's graph have files of
// their own: "go mod tidy" goes by all platforms, "go list" by one.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64", "plan9/amd64", "aix/ppc64", "freebsd/amd64"}

// linked returns the modules with packages that the filter links on some platform.
func linked(t *testing.T, host string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, platform := range platforms {
		system, processor, _ := strings.Cut(platform, "/")
		env := []string{"GOOS=" + system, "GOARCH=" + processor, "CGO_ENABLED=1"}
		for _, path := range strings.Fields(goIn(t, host, env, "list", "-e", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/"+filter)) {
			all[path] = true
		}
	}
	return all
}

// A host's go.mod gets nothing but what the filter links: nothing of the tool, of
// the tests or of the examples.
func TestAHostGainsOnlyWhatTheFilterLinks(t *testing.T) {
	t.Parallel()
	root := required(t, "../go.mod")
	mosn := root.versions()["mosn.io/mosn"]
	host := newHost(t, mosn)
	after := required(t, filepath.Join(host, "go.mod"))
	if root.Go != "1.23" || after.Go != "1.23" {
		t.Errorf("the root module needs Go %s, a host of Go 1.23 then Go %s", root.Go, after.Go)
	}

	// What MOSN brings is in its own go.mod: all of it, for it was written by Go 1.18.
	brought := required(t, strings.TrimSpace(goIn(t, host, nil, "list", "-m", "-f", "{{.GoMod}}", "mosn.io/mosn"))).versions()
	brought["mosn.io/mosn"] = mosn
	gained := func(path string) bool {
		_, ok := brought[path]
		return !ok && path != module
	}
	var got, want []string
	for path := range after.versions() {
		if gained(path) {
			got = append(got, path)
		}
	}
	for path := range linked(t, host) {
		if gained(path) {
			want = append(want, path)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || len(got) == 0 {
		t.Errorf("a host gains\n%s\nthe filter links\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// Whatever MOSN may bring one day: these are of the tool and of tests.
	for path := range after.versions() {
		for _, word := range []string{"cobra", "pflag", "isatty", "gopacket", "rogpeppe", "goleak", "expr-lang", module + "/tool"} {
			if strings.Contains(path, word) {
				t.Errorf("a host gains %s", path)
			}
		}
	}
	// Of what MOSN brings, only these get newer: what they offer is used.
	newer := []string{
		"github.com/shirou/gopsutil/v3", "github.com/go-ole/go-ole", "github.com/google/uuid",
		"golang.org/x/crypto", "golang.org/x/net", "golang.org/x/sys", "golang.org/x/text",
		// Of what MOSN's package network brings, which the host has anyway.
		"golang.org/x/mod", "golang.org/x/sync", "golang.org/x/tools",
	}
	for _, path := range slices.Sorted(maps.Keys(after.versions())) {
		if own, ok := brought[path]; ok && own != after.versions()[path] && !slices.Contains(newer, path) {
			t.Errorf("a host gets %s %s, MOSN has %s", path, after.versions()[path], own)
		}
	}
}
