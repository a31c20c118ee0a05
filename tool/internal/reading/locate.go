package reading

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// DefaultDirs returns the directories that recorders write to by default, in the order
// in which they are looked for: the one below the current folder, where `make run` of the
// repository records, the usual one, and the one below home, which is the user's and may
// be empty.
func DefaultDirs(home string) []string {
	dirs := []string{layout.HomeDir(""), layout.DefaultDir}
	if home != "" {
		dirs = append(dirs, layout.HomeDir(home))
	}
	return dirs
}

// Locate returns the directory or file that the query reads: the first of its
// Defaults that exists, or its Path where it has none. The error names the
// directories tried.
func (q *Query) Locate() (string, error) {
	if len(q.Defaults) == 0 {
		return q.Path, nil
	}
	exists := q.IsDir
	if exists == nil {
		exists = IsDir
	}
	for i, dir := range q.Defaults {
		if exists(dir) {
			q.remarkOther(dir, q.Defaults[i+1:], exists)
			return dir, nil
		}
	}
	return "", fmt.Errorf("no directory given, and none of the default ones exists: %s", strings.Join(q.Defaults, ", "))
}

// remarkOther says once that dir, which is below the current folder, is read and not the
// next one of others that exists: that depends on where the command was typed.
func (q *Query) remarkOther(dir string, others []string, exists func(string) bool) {
	if filepath.IsAbs(dir) || q.located || q.Report.Remark == nil {
		return
	}
	q.located = true
	for _, other := range others {
		if exists(other) && !isSame(dir, other) {
			q.Report.Remark(fmt.Sprintf("this reads %s of the current folder, not %s: name a directory to read that one", dir, other))
			return
		}
	}
}

// isSame reports whether two paths stand for the same directory.
func isSame(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

// IsDir reports whether path is an existing directory.
func IsDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
