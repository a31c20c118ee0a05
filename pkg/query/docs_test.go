package query

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/calls.md has a row for each field, and names each function and unit.
func TestDocsHaveAllFields(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/calls.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	kinds := map[kind]string{kindText: "text", kindBool: "condition", kindInt: "number", kindDuration: "duration", kindSize: "size", kindTime: "time", kindTexts: "list"}
	for _, f := range fields {
		missing := ""
		if f.optional {
			missing = "yes"
		}
		if row := strings.ReplaceAll(fmt.Sprintf("| `%s` | %s | %s | %s |", f.name, kinds[f.kind], missing, f.doc), "|  |", "| |"); !strings.Contains(text, row) {
			t.Errorf("there is no row\n%s", row)
		}
	}
	for _, name := range functionNames() {
		if !strings.Contains(text, "`"+name) {
			t.Errorf("the function %s is not named", name)
		}
	}
	for name := range functions {
		if !strings.Contains(strings.Join(functionNames(), " ")+" ", name+" ") {
			t.Errorf("functionNames does not have %s", name)
		}
	}
}

// What docs/calls.md shows as an expression is one.
func TestDocsShowExpressionsThatCompile(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/calls.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "## Query language\n")
	_, rest, _ = strings.Cut(rest, "```\n")
	block, _, _ := strings.Cut(rest, "```")
	lines := strings.Split(strings.TrimSpace(block), "\n")
	if len(lines) != 6 {
		t.Fatalf("%q", lines)
	}
	for _, line := range lines {
		if _, err := Compile(line); err != nil {
			t.Errorf("%v", err)
		}
	}
	_, err = Compile(`code == "503"`)
	if err == nil || !strings.Contains(string(page), "```\n"+err.Error()+"\n```") {
		t.Errorf("it does not show the error\n%v", err)
	}
}
