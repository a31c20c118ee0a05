package test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path of the root module; that of the tool is below it.
const module = "mosn.io/tcpcopy"

// mayImport has, for each package of the two modules, which packages of the project
// it may import, tests aside. It is in the order of the layers: what a package may
// import stands above it. "/..." stands for all packages below a folder; the first
// line that matches a package is the package's.
var mayImport = []struct {
	pkg     string
	imports []string
}{
	{"pkg/record", nil},
	// What several packages share and no other module may import. It knows nothing of
	// what the project does.
	{"internal/...", []string{"internal/...", "pkg/record"}},

	{"pkg/protocol/call", []string{"pkg/record"}},
	{"pkg/protocol/parse", []string{"pkg/record", "pkg/protocol/call"}},
	{"pkg/protocol/...", []string{"pkg/record", "pkg/protocol/...", "internal/..."}}, // the decoder, and a package for each protocol

	{"pkg/dump/layout", []string{"pkg/record", "internal/..."}},
	{"pkg/dump/internal/dumptest", []string{"pkg/record", "pkg/dump/layout", "pkg/dump/hexlog", "pkg/dump/pcapng", "internal/..."}}, // for tests
	{"pkg/dump/internal/...", []string{"pkg/record", "internal/..."}},
	{"pkg/dump/hexlog", []string{"pkg/record", "pkg/dump/layout", "pkg/dump/internal/...", "internal/..."}},
	{"pkg/dump/pcapng", []string{"pkg/record", "pkg/dump/layout", "pkg/dump/internal/...", "internal/..."}},
	{"pkg/dump", []string{"pkg/record", "pkg/dump/...", "internal/..."}},
	{"pkg/calls", []string{"pkg/record", "pkg/dump", "pkg/protocol/..."}},
	{"pkg/body", nil},
	{"pkg/query", []string{"pkg/record", "pkg/protocol/call"}},
	{"pkg/replay", []string{"pkg/record", "pkg/dump/...", "internal/..."}},

	{filter + "/model", []string{"internal/mask"}}, // what its errors may show
	{filter + "/type", []string{filter + "/model"}},
	{filter + "/strategy", []string{"pkg/record", filter + "/model", "internal/..."}},
	{filter + "/persistence/internal/blockfile", []string{"internal/..."}},
	{filter + "/persistence/internal/logdir", []string{"pkg/record", "pkg/dump/...", filter + "/persistence/internal/blockfile", "internal/..."}},
	{filter + "/persistence/internal/buffer", []string{"pkg/record", "pkg/dump/...", "internal/..."}},
	{filter + "/persistence/internal/trigger", []string{"pkg/record", "pkg/protocol/...", "pkg/query", "pkg/body", filter + "/model"}},
	{filter + "/persistence", []string{"pkg/record", "pkg/dump/...", "pkg/calls", "pkg/protocol", filter + "/model", filter + "/persistence/internal/...", "internal/..."}},
	{filter, []string{"pkg/record", "pkg/dump/...", "pkg/query", filter + "/model", filter + "/strategy", filter + "/persistence", "internal/..."}},

	{"cmd/mosn", []string{filter, "internal/..."}},
	{"examples/...", []string{"pkg/...", "internal/..."}},
	{"bench", []string{"pkg/...", "internal/..."}},
	{"test/mosncodec", []string{"internal/..."}}, // for tests of the tool
	{"test", nil},

	{"tool/internal/spelling", nil},
	{"tool/internal/codings", []string{"pkg/body"}},
	{"tool/internal/quantile", nil},
	{"tool/internal/benchdump", []string{"pkg/record", "pkg/dump/pcapng"}}, // for tests
	{"tool/internal/resend", nil},
	{"tool/internal/protomsg", nil},
	{"tool/internal/mix", nil}, // tests alone
	{"tool/internal/reading", []string{"pkg/record", "pkg/dump/...", "pkg/protocol/...", "pkg/calls", "tool/internal/spelling"}},
	{"tool/internal/grep", []string{"pkg/record", "pkg/dump/..."}},
	{"tool/internal/content", []string{"pkg/record", "pkg/dump", "pkg/calls", "pkg/protocol/call", "pkg/query", "pkg/body", "tool/internal/codings"}},
	{"tool/internal/har", []string{"pkg/record", "pkg/calls", "pkg/protocol/...", "pkg/query", "pkg/body", "tool/internal/content"}},
	{"tool/internal/cli", []string{"internal/openfile", "pkg/record", "pkg/dump/...", "pkg/protocol/...", "pkg/calls", "pkg/query", "pkg/replay", filter + "/model", filter + "/persistence", "tool/internal/..."}},
	{"tool/cmd/tcpcopyctl", []string{"tool/internal/cli"}},
}

const filter = "pkg/filter/network/tcpcopy"

// joinMOSN are the packages that import the proxy.
var joinMOSN = []string{filter, "cmd/mosn", "test/mosncodec"}

// matches reports whether pkg is what pattern stands for.
func matches(pattern, pkg string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == below || strings.HasPrefix(pkg, below+"/")
	}
	return pkg == pattern
}

// goList returns the lines of go list in the folder of a module.
func goList(t *testing.T, folder string, args ...string) []string {
	t.Helper()
	command := exec.Command("go", append([]string{"list"}, args...)...)
	command.Dir = folder
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list %q in %s: %v\n%s", args, folder, err, &stderr)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// A package imports only what is below it in the order of the layers.
func TestImportsGoFromHigherLayersToLowerOnes(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"..", "../tool"} {
		for _, line := range goList(t, folder, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
			pkg, imports, _ := strings.Cut(strings.TrimPrefix(line, module+"/"), " ")
			i := slices.IndexFunc(mayImport, func(row struct {
				pkg     string
				imports []string
			}) bool {
				return matches(row.pkg, pkg)
			})
			if i < 0 {
				t.Errorf("%s has no line in mayImport: say what it may import", pkg)
				continue
			}
			for _, imported := range strings.Fields(imports) {
				imported, ours := strings.CutPrefix(imported, module+"/")
				if strings.HasPrefix(imported, "mosn.io/") && !slices.Contains(joinMOSN, pkg) {
					t.Errorf("%s imports %s; only %q may", pkg, imported, joinMOSN)
				}
				if ours && !slices.ContainsFunc(mayImport[i].imports, func(pattern string) bool { return matches(pattern, imported) }) {
					t.Errorf("%s imports %s; it may import %q", pkg, imported, mayImport[i].imports)
				}
			}
		}
	}
}

// Only the root package of the filter joins the recorder to MOSN: what reads dumps
// links no proxy, and neither does the tool.
func TestOnlyTheRootPackageLinksMOSN(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		folder string
		pkgs   []string
	}{
		{"..", []string{"./pkg/record/...", "./pkg/dump/...", "./pkg/replay/...", "./pkg/body/...", "./pkg/query/...", "./" + filter + "/model/...", "./" + filter + "/strategy/...", "./" + filter + "/persistence/..."}},
		{"../tool", []string{"./..."}},
	} {
		for _, dep := range goList(t, c.folder, append([]string{"-deps"}, c.pkgs...)...) {
			if strings.HasPrefix(dep, "mosn.io/") && !strings.HasPrefix(dep, module+"/") || dep == module+"/"+filter {
				t.Errorf("%s links %s", c.pkgs, dep)
			}
		}
	}
}

// What reads dumps knows nothing of the filter, and record of nothing at all. The model
// knows only what its errors may show.
func TestReadersLinkNothingOfTheFilter(t *testing.T) {
	t.Parallel()
	for _, dep := range goList(t, "..", "-deps", "./pkg/record/...", "./pkg/dump/...", "./pkg/replay/...", "./pkg/body/...", "./pkg/query/...") {
		if strings.HasPrefix(dep, module+"/pkg/filter/") {
			t.Errorf("it links %s", dep)
		}
	}
	for _, pkg := range []string{"pkg/record", filter + "/model"} {
		for _, dep := range goList(t, "..", "-deps", "./"+pkg) {
			if strings.HasPrefix(dep, module+"/") && dep != module+"/"+pkg && dep != module+"/internal/mask" {
				t.Errorf("%s links %s", pkg, dep)
			}
		}
	}
}
