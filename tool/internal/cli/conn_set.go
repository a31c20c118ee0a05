package cli

import (
	"strconv"
	"strings"
)

// connSet is a set of connections by their identities. The numbers of a process's
// connections are close together, so that a million of them need few bytes. The zero value
// is empty and ready to use.
type connSet struct {
	runs   map[string]map[uint64]uint64 // of each process: bit n%64 of n/64 is set for number n
	others map[string]struct{}          // that are not of the form <run>-<number>
}

// split returns the parts of an identity of the form <run>-<number>.
func (s *connSet) split(conn string) (run string, number uint64, ok bool) {
	at := strings.LastIndexByte(conn, '-')
	if at < 0 || at+1 == len(conn) || conn[at+1] == '0' && at+2 < len(conn) || conn[at+1] == '+' {
		return "", 0, false // 07 and 7 are not the same identity
	}
	number, err := strconv.ParseUint(conn[at+1:], 10, 64)
	return conn[:at], number, err == nil
}

func (s *connSet) add(conn string) {
	run, number, ok := s.split(conn)
	if !ok {
		if s.others == nil {
			s.others = map[string]struct{}{}
		}
		s.others[strings.Clone(conn)] = struct{}{}
		return
	}
	numbers := s.runs[run]
	if numbers == nil {
		if s.runs == nil {
			s.runs = map[string]map[uint64]uint64{}
		}
		numbers = map[uint64]uint64{}
		s.runs[strings.Clone(run)] = numbers
	}
	numbers[number/64] |= 1 << (number % 64)
}

func (s *connSet) has(conn string) bool {
	run, number, ok := s.split(conn)
	if !ok {
		_, ok = s.others[conn]
		return ok
	}
	return s.runs[run][number/64]&(1<<(number%64)) != 0
}
