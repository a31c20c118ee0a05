package parsetest

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/record"
)

// Load returns the session of a file. Each line of it is a piece: ">" (from the client)
// or "<", the nanoseconds since Start, and the bytes in base64. Lines that begin with "#"
// are comments.
func Load(t testing.TB, path string) Session {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s Session
	for n, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		piece, err := parsePiece(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", path, n+1, err)
		}
		s = append(s, piece)
	}
	return s
}

func parsePiece(line string) (Piece, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return Piece{}, fmt.Errorf("%d fields instead of 3", len(fields))
	}
	dir, ok := record.ParseArrow(fields[0][0])
	if !ok {
		return Piece{}, fmt.Errorf("no direction: %q", fields[0])
	}
	after, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return Piece{}, err
	}
	data, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return Piece{}, err
	}
	return Piece{dir, Start.Add(time.Duration(after)), data}, nil
}
