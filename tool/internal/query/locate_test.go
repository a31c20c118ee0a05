package query

import (
	"slices"
	"testing"
)

func TestTheUsualDirectoryComesBeforeTheOneOfTheUser(t *testing.T) {
	usual, own := "/home/admin/logs/mosn/dump", "/home/me/logs/mosn/dump"
	for _, c := range []struct {
		exist []string
		want  string
	}{{[]string{usual, own}, usual}, {[]string{own}, own}, {[]string{usual}, usual}} {
		q := Query{Defaults: DefaultDirs("/home/me"), IsDir: func(path string) bool { return slices.Contains(c.exist, path) }}
		if got, err := q.Locate(); got != c.want || err != nil {
			t.Errorf("of %q it reads %q, %v; want %q", c.exist, got, err, c.want)
		}
	}
	if got := DefaultDirs(""); !slices.Equal(got, []string{usual}) {
		t.Errorf("without a home: %q", got)
	}
}

func TestAPathIsReadWhetherItExistsOrNot(t *testing.T) {
	q := Query{Path: "/nowhere"}
	if got, err := q.Locate(); got != "/nowhere" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
