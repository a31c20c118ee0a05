package query

import (
	"fmt"
	"os"
	"strings"

	"mosn.io/tcpcopy/pkg/dump/layout"
)

// DefaultDirs returns the directories that recorders write to by default, the
// usual one first. home is the user's, and may be empty.
func DefaultDirs(home string) []string {
	dirs := []string{layout.DefaultDir}
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
	for _, dir := range q.Defaults {
		if exists(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no directory given, and none of the default ones exists: %s", strings.Join(q.Defaults, ", "))
}

// IsDir reports whether path is an existing directory.
func IsDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
