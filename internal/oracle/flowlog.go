package oracle

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Kind is the kind of a line of a flow log.
type Kind int

// The kinds of lines. The hex format has Data alone.
const (
	Data  Kind = iota // bytes that passed
	Open              // a connection takes part in the window
	Gap               // bytes that passed and were not recorded
	Close             // a connection has ended
	State             // what a decoder of the connection knows where the window begins
)

// The directions, as lines mark them.
const (
	In  = ">" // client to proxy
	Out = "<" // proxy to client
)

// Line is one line of a flow log. Fields that its kind does not have are zero.
type Line struct {
	Kind   Kind
	Time   string // as written, local time
	Window string // UUID
	Port   string // the listener's port, or its Unix socket's path

	Conn      string
	Direction string // In or Out
	Offset    uint64 // Data, Gap: bytes of this direction before these
	Length    uint64 // Data, Gap: number of bytes
	Payload   []byte // Data; belongs to the line's owner
	Reason    string // Gap, Close

	Client, Server    string // Open
	TotalIn, TotalOut uint64 // Close: bytes in all; State: offsets where it holds
}

// The fields of the formats, see docs/format.md.
var (
	hexPrefix  = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) \[INFO\] \[([0-9a-f-]{36})\]\[([^\[\]]+)\]`)
	metaPrefix = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{6}) \[INFO\] \[([0-9a-f-]{36})\]\[([^\[\]]+)\]\[([a-z2-7]{6}-\d+) ([^\[\]]+)\]`)
	dataField  = regexp.MustCompile(`^([<>]) (\d+)$`)
	gapField   = regexp.MustCompile(`^gap ([<>]) (\d+) (\d+)$`)
	openText   = regexp.MustCompile(`^ (\S+) -> (\S+)$`)
	gapText    = regexp.MustCompile(`^ ([a-z_]+)$`)
	stateText  = regexp.MustCompile(`^ > (\d+) < (\d+) [A-Za-z0-9+/]+$`)
	closeText  = regexp.MustCompile(`^ (.+) > (\d+) < (\d+)$`)
)

// ReadMeta returns the lines of dir's hex_meta flow logs, archives and compressed
// ones included, oldest file first.
func ReadMeta(dir string) ([]Line, error) { return read(dir, parseMeta) }

// ReadHex is ReadMeta for the hex format.
func ReadHex(dir string) ([]Line, error) { return read(dir, parseHex) }

func read(dir string, parse func(string) (Line, error)) ([]Line, error) {
	const current = "dump_tcp_copy.log"
	paths, err := filepath.Glob(filepath.Join(dir, "dump_tcp_copy*"))
	if err != nil {
		return nil, fmt.Errorf("list the flow logs of %s: %w", dir, err)
	}
	// Archives have their time in their name and sort by it; the current file is
	// the newest.
	var ordered []string
	for _, path := range paths {
		if filepath.Base(path) != current {
			ordered = append(ordered, path)
		}
	}
	if len(ordered) < len(paths) {
		ordered = append(ordered, filepath.Join(dir, current))
	}
	var lines []Line
	for _, path := range ordered {
		if lines, err = readFile(lines, path, parse); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

func readFile(lines []Line, path string, parse func(string) (Line, error)) ([]Line, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open flow log: %w", err)
	}
	defer file.Close()
	var in io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return nil, fmt.Errorf("open flow log %s: %w", path, err)
		}
	}
	buffered := bufio.NewReaderSize(in, 1<<20)
	for number := 1; ; number++ {
		text, err := buffered.ReadString('\n')
		if errors.Is(err, io.EOF) && text == "" {
			return lines, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %d bytes without an end of line: %w", path, number, len(text), err)
		}
		line, err := parse(strings.TrimSuffix(text, "\n"))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w: %.200q", path, number, err, text)
		}
		lines = append(lines, line)
	}
}

func parseHex(text string) (Line, error) {
	m := hexPrefix.FindStringSubmatch(text)
	if m == nil {
		return Line{}, errors.New("not a hex line")
	}
	payload, err := parsePayload(text[len(m[0]):])
	return Line{Kind: Data, Time: m[1], Window: m[2], Port: m[3], Length: uint64(len(payload)), Payload: payload}, err
}

func parseMeta(text string) (Line, error) {
	m := metaPrefix.FindStringSubmatch(text)
	if m == nil {
		return Line{}, errors.New("not a hex_meta line")
	}
	l := Line{Time: m[1], Window: m[2], Port: m[3], Conn: m[4]}
	field, rest := m[5], text[len(m[0]):]
	var err error
	switch {
	case field == "open":
		l.Kind = Open
		if m := openText.FindStringSubmatch(rest); m != nil {
			l.Client, l.Server = m[1], m[2]
			return l, nil
		}
		return l, errors.New("not the text of an open line")
	case field == "state":
		l.Kind = State
		m := stateText.FindStringSubmatch(rest)
		if m == nil {
			return l, errors.New("not the text of a state line")
		}
		l.TotalIn, l.TotalOut, err = two(m[1], m[2])
		return l, err
	case field == "close":
		l.Kind = Close
		m := closeText.FindStringSubmatch(rest)
		if m == nil {
			return l, errors.New("not the text of a close line")
		}
		l.Reason = m[1]
		l.TotalIn, l.TotalOut, err = two(m[2], m[3])
		return l, err
	case strings.HasPrefix(field, "gap"):
		l.Kind = Gap
		f, r := gapField.FindStringSubmatch(field), gapText.FindStringSubmatch(rest)
		if f == nil || r == nil {
			return l, errors.New("not a gap line")
		}
		l.Direction, l.Reason = f[1], r[1]
		l.Offset, l.Length, err = two(f[2], f[3])
		return l, err
	default:
		l.Kind = Data
		f := dataField.FindStringSubmatch(field)
		if f == nil {
			return l, errors.New("not a data line")
		}
		l.Direction = f[1]
		if l.Offset, err = strconv.ParseUint(f[2], 10, 64); err != nil {
			return l, err
		}
		l.Payload, err = parsePayload(rest)
		l.Length = uint64(len(l.Payload))
		return l, err
	}
}

func two(a, b string) (x, y uint64, err error) {
	if x, err = strconv.ParseUint(a, 10, 64); err != nil {
		return 0, 0, err
	}
	y, err = strconv.ParseUint(b, 10, 64)
	return x, y, err
}

// parsePayload decodes "68 65 6c": two lower-case digits per byte, one space
// between bytes, none at the end.
func parsePayload(text string) ([]byte, error) {
	if len(text)%3 != 2 {
		return nil, fmt.Errorf("hex text of %d characters", len(text))
	}
	payload := make([]byte, (len(text)+1)/3)
	for i := range payload {
		at := text[3*i:]
		if len(at) > 2 && at[2] != ' ' {
			return nil, fmt.Errorf("byte %d is followed by %q", i, at[2])
		}
		if at[:2] != strings.ToLower(at[:2]) {
			return nil, fmt.Errorf("byte %d in capitals: %q", i, at[:2])
		}
		if _, err := hex.Decode(payload[i:i+1], []byte(at[:2])); err != nil {
			return nil, fmt.Errorf("byte %d: %w", i, err)
		}
	}
	return payload, nil
}
