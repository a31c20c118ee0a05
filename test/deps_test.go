package test

import (
	"os/exec"
	"strings"
	"testing"
)

// Only the root package joins the recorder to MOSN: the tool links no proxy.
func TestOnlyTheRootPackageLinksMOSN(t *testing.T) {
	t.Parallel()
	const module = "mosn.io/tcpcopy"
	for _, pkg := range []string{
		"/pkg/dump", "/pkg/replay",
		"/pkg/filter/network/tcpcopy/model", "/pkg/filter/network/tcpcopy/strategy", "/pkg/filter/network/tcpcopy/persistence",
	} {
		out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		for _, dep := range strings.Fields(string(out)) {
			if strings.HasPrefix(dep, "mosn.io/") && dep != module && !strings.HasPrefix(dep, module+"/") {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
}

// model is what the others share: it imports nothing of the project.
func TestModelImportsNothingOfTheProject(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "mosn.io/") {
		t.Errorf("model imports\n%s", out)
	}
}
