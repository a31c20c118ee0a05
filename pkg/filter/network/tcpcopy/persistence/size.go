package persistence

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

var errSize = errors.New(`a size such as "64MiB", "10GiB", "512KiB", "0", or a number of bytes`)

// ParseSize reads a size with a unit ("64MiB", "1.5GiB", "100MB") or a plain
// number of bytes. The error says what is valid.
func ParseSize(text string) (int64, error) {
	number, factor := strings.TrimSpace(text), 1.0
	for _, u := range []struct {
		suffix string
		bytes  float64
	}{ // longest first, so that "KiB" is not read as "B"
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
	} {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, factor = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*factor >= math.MaxInt64 || strings.ContainsAny(number, "eExXpP_+") {
		return 0, errSize
	}
	return int64(v * factor), nil
}

// MinFree is how much space of the file system must be free: a share of it or a
// number of bytes. The zero value asks for none.
type MinFree struct {
	Percent float64
	Bytes   int64
}

// ParseMinFree reads a share ("5%") or a size ("1GiB").
func ParseMinFree(text string) (MinFree, error) {
	if number, ok := strings.CutSuffix(strings.TrimSpace(text), "%"); ok {
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v >= 0 && v < 100) {
			return MinFree{}, errors.New(`a share from "0%" to below "100%"`)
		}
		return MinFree{Percent: v}, nil
	}
	n, err := ParseSize(text)
	if err != nil {
		return MinFree{}, fmt.Errorf(`a share such as "5%%" or %w`, err)
	}
	return MinFree{Bytes: n}, nil
}

// bytes returns the floor for a file system of that size.
func (m MinFree) bytes(total uint64) uint64 {
	return uint64(m.Bytes) + uint64(m.Percent/100*float64(total))
}
