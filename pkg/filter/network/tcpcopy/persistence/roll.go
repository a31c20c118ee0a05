package persistence

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"
	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence/internal/logdir"
)

// Roll says when a file is rolled, and what happens to the archived ones. Its fields
// are Size in bytes, Every in whole hours of the local day, Age, Keep in files, and
// Compress. A zero field means that nothing is done for that reason.
type Roll = logdir.Roll

// DefaultRoll is MOSN's own default: daily, the last ten files. (MOSN's
// mosn.io/pkg/log/roller.go.)
func DefaultRoll() Roll { return Roll{Every: 24 * time.Hour, Keep: 10} }

// ParseRoll reads MOSN's roller words, such as "size=256 age=7 keep=10
// compress=on": size in MiB, time in hours up to 24, age in days, keep in files.
// As in MOSN, words left out mean 7 days and 10 files, and a size of 1000 MiB
// unless time is given. The error is a *model.FieldError for the field Roll of Config.
func ParseRoll(words string) (Roll, error) {
	r := Roll{Size: 1000 << 20, Age: 7 * 24 * time.Hour, Keep: 10}
	timed, sized := false, false
	for _, word := range strings.Fields(words) {
		key, text, ok := strings.Cut(word, "=")
		bad := func(valid string) error {
			return &model.FieldError{Field: "Roll", Value: word, Valid: valid}
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
