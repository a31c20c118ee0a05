package reading_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

const line = "2024-05-06 07:08:09,000000 [INFO] [w][8080][k3v9qa-1 > "

// writeLog writes a flow log and returns its path.
func writeLog(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// texts returns the payload of the records that q wants.
func texts(t *testing.T, q *reading.Query) (all []string) {
	t.Helper()
	if err := q.Each(context.Background(), func(r *record.Record) error {
		all = append(all, string(r.Data))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDamageIsReportedAndReadingGoesOn(t *testing.T) {
	var damaged []string
	measured := false
	q := &reading.Query{Path: writeLog(t, line+"0]6f 6e 65", line+"3]zz", line+"3]74 77 6f")}
	q.Report.Damage = func(e *record.DamageError) { damaged = append(damaged, e.Error()) }
	q.Report.Progress = func(measure func() (done, total int64)) (end func()) {
		return func() {
			done, total := measure()
			measured = done == total && total > 0
		}
	}
	if got := texts(t, q); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("read %q", got)
	}
	if len(damaged) != 1 || !strings.Contains(damaged[0], q.Path) {
		t.Errorf("reported %q", damaged)
	}
	if !measured {
		t.Error("the progress does not end with all that there is")
	}
}

func TestReportsMayBeLeftOut(t *testing.T) {
	q := &reading.Query{Path: writeLog(t, "2024-05-06 07:08:09,000 [INFO] [w][8080]6f 6e 65", "zz")}
	if got := texts(t, q); len(got) == 0 || got[0] != "one" {
		t.Errorf("read %q", got)
	}
}

func TestEachEndsWithTheErrorOfItsFunction(t *testing.T) {
	q := &reading.Query{Path: writeLog(t, line+"0]6f 6e 65", line+"3]74 77 6f")}
	stop, calls := errors.New("stop"), 0
	err := q.Each(context.Background(), func(*record.Record) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestGapsStandBetweenRecords(t *testing.T) {
	q := &reading.Query{Path: writeLog(t, line+"0]6f 6e 65", line+"5]74 77 6f", line+"5]74 77 6f")}
	var kinds []string
	add, _ := q.WithGaps(func(r *record.Record) error {
		kinds = append(kinds, r.Kind.String())
		return nil
	})
	if err := q.Each(context.Background(), add); err != nil {
		t.Fatal(err)
	}
	if want := []string{"data", "gap", "data"}; !slices.Equal(kinds, want) {
		t.Errorf("%q, want %q: bytes that were there before are left out", kinds, want)
	}
}

func TestWindowsAreWorkedOutWhereThereIsNoIndex(t *testing.T) {
	q := &reading.Query{Path: writeLog(t, line+"0]6f 6e 65")}
	var all []reading.Window
	add := func(w reading.Window) error {
		all = append(all, w)
		return nil
	}
	if err := q.Indexed(add); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the index: %v", err)
	}
	err := q.Windows(context.Background(), false, add)
	if err != nil || len(all) != 1 || !all[0].Rebuilt || all[0].Window != "w" {
		t.Errorf("%+v, %v", all, err)
	}
}
