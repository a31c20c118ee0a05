package reading

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDefaultDirectoriesAreLookedForInTheirOrder(t *testing.T) {
	here, usual, own := "logs/mosn/dump", "/home/admin/logs/mosn/dump", "/home/me/logs/mosn/dump"
	for _, c := range []struct {
		exist  []string
		want   string
		remark string // names the directory that is not read
	}{
		{[]string{usual, own}, usual, ""},
		{[]string{own}, own, ""},
		{[]string{usual}, usual, ""},
		{[]string{here}, here, ""},
		{[]string{here, own}, here, own},
		{[]string{here, usual, own}, here, usual},
	} {
		var remarks []string
		q := Query{
			Defaults: DefaultDirs("/home/me"), IsDir: func(path string) bool { return slices.Contains(c.exist, path) },
			Report: Report{Remark: func(sentence string) { remarks = append(remarks, sentence) }},
		}
		for range 2 {
			if got, err := q.Locate(); got != c.want || err != nil {
				t.Errorf("of %q it reads %q, %v; want %q", c.exist, got, err, c.want)
			}
		}
		switch {
		case c.remark == "" && len(remarks) > 0:
			t.Errorf("of %q: %q", c.exist, remarks)
		case c.remark != "" && (len(remarks) != 1 || !strings.Contains(remarks[0], c.remark)):
			t.Errorf("of %q: %q, want one sentence about %s", c.exist, remarks, c.remark)
		}
	}
	if got := DefaultDirs(""); !slices.Equal(got, []string{here, usual}) {
		t.Errorf("without a home: %q", got)
	}
}

// In the user's home, the directory of the current folder and that of the user are one.
func TestADirectoryIsNoOtherThanItself(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	if err := os.MkdirAll("logs/mosn/dump", 0o700); err != nil {
		t.Fatal(err)
	}
	q := Query{
		Defaults: []string{"logs/mosn/dump", filepath.Join(home, "logs/mosn/dump")},
		Report:   Report{Remark: func(sentence string) { t.Error(sentence) }},
	}
	if got, err := q.Locate(); got != "logs/mosn/dump" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAPathIsReadWhetherItExistsOrNot(t *testing.T) {
	q := Query{Path: "/nowhere"}
	if got, err := q.Locate(); got != "/nowhere" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
