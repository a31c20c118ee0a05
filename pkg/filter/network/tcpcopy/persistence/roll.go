package persistence

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
)

// Roll says when a file is rolled, and what happens to the rolled ones. A zero
// field means that nothing is done for that reason.
type Roll struct {
	Size     int64         // bytes after which a file is rolled
	Every    time.Duration // whole hours of the local day after which a file is rolled
	Age      time.Duration // rolled files older than that are removed
	Keep     int           // how many rolled files are kept
	Compress bool          // rolled files are compressed with gzip
}

// DefaultRoll is MOSN's own default: daily, the last ten files. (MOSN's
// mosn.io/pkg/log/roller.go.)
func DefaultRoll() Roll { return Roll{Every: 24 * time.Hour, Keep: 10} }

// ParseRoll reads MOSN's roller words, such as "size=256 age=7 keep=10
// compress=on": size in MiB, time in hours up to 24, age in days, keep in files.
// As in MOSN, words left out mean 7 days and 10 files, and a size of 1000 MiB
// unless time is given.
func ParseRoll(words string) (Roll, error) {
	r := Roll{Size: 1000 << 20, Age: 7 * 24 * time.Hour, Keep: 10}
	timed, sized := false, false
	for _, word := range strings.Fields(words) {
		key, text, ok := strings.Cut(word, "=")
		bad := func(valid string) error {
			return &model.FieldError{Field: "output.roll", Value: word, Valid: valid}
		}
		if !ok {
			return Roll{}, bad("words such as size=256 time=24 age=7 keep=10 compress=on")
		}
		if key == "compress" {
			if text != "on" && text != "off" {
				return Roll{}, bad("compress=on or compress=off")
			}
			r.Compress = text == "on"
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			n = -1
		}
		switch key {
		case "size":
			if n < 1 || n > 1<<20 {
				return Roll{}, bad(fmt.Sprintf("size=1 … size=%d, in MiB", 1<<20))
			}
			r.Size, sized = int64(n)<<20, true
		case "time":
			if n < 1 || n > 24 {
				return Roll{}, bad("time=1 … time=24, in hours")
			}
			r.Every, timed = time.Duration(n)*time.Hour, true
		case "age":
			if n < 0 || n > 3650 {
				return Roll{}, bad("age=0 (no limit) … age=3650, in days")
			}
			r.Age = time.Duration(n) * 24 * time.Hour
		case "keep":
			if n < 0 || n > 1<<20 {
				return Roll{}, bad("keep=0 (all) … keep=1048576, in files")
			}
			r.Keep = n
		default:
			return Roll{}, bad("the words size, time, age, keep and compress")
		}
	}
	if timed && !sized {
		r.Size = 0
	}
	return r, nil
}

// due tells whether a file of that size, last begun at born, is to be rolled
// before more bytes are appended at now. An empty file is never rolled.
func (r Roll) due(size, more int64, born, now time.Time) bool {
	return size > 0 && (r.full(size, more) || r.overdue(born, now))
}

// full tells whether more bytes are too many for a file of that size.
func (r Roll) full(size, more int64) bool { return r.Size > 0 && size+more > r.Size }

// overdue tells whether a file that was begun at born has had its time.
func (r Roll) overdue(born, now time.Time) bool {
	return r.Every > 0 && r.period(born) != r.period(now)
}

// period numbers the stretches of Every of the local days, so that a file is
// rolled at the same hours each day.
func (r Roll) period(t time.Time) int {
	t = t.Local()
	hours := int(r.Every / time.Hour)
	return (t.Year()*366+t.YearDay())*24 + t.Hour()/hours
}
