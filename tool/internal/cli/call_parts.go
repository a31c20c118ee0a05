package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/content"
)

// What is shown of the values of a database's answer.
const (
	maxShownRows  = 1000
	maxShownValue = 4 << 10 // bytes of one
)

// hasParts reports whether the body of a side is a list of values: the rows of a result, the elements
// of an answer of Redis.
func hasParts(s *shownCall, dir record.Direction) bool {
	parts, _ := s.content.Parts(dir)
	switch s.Protocol {
	case call.Redis:
		return len(parts) > 1 || len(parts) == 1 && (parts[0].Name != "" || parts[0].Length == 0)
	case call.PostgreSQL, call.MySQL, call.Kafka:
		return len(parts) > 0
	}
	return false
}

// parts prints such a list, a value or a row a line.
func (p *callPrinter) parts(s *shownCall, dir record.Direction) {
	raw, err := s.content.Raw(dir)
	if err != nil {
		p.lostLine(dir, "the values are not shown: "+err.Error())
		return
	}
	parts, all := s.content.Parts(dir)
	p.separate(dir)
	var row []string
	rows := 0
	end := func() {
		if row != nil {
			p.line(dir, strings.Join(row, " | "))
			row = nil
			rows++
		}
	}
	for i, part := range parts {
		if rows == maxShownRows {
			p.lostLine(dir, fmt.Sprintf("%d more values are not shown", len(parts)-i))
			all = true
			break
		}
		value, err := partOf(raw, part)
		if err != nil {
			p.lostLine(dir, "the values cannot be read: "+err.Error())
			return
		}
		number, null := strings.CutSuffix(part.Name, " null")
		column, err := strconv.Atoi(number)
		switch {
		case s.Protocol == call.PostgreSQL && err == nil:
			if column <= len(row) {
				end()
			}
			if null {
				value = "NULL"
			}
			row = append(row, shownValue(value))
			continue
		case s.Protocol == call.MySQL && s.Method == "QUERY" && dir == record.Out:
			if row = textRow(value); row == nil {
				row = []string{shownValue(value)}
			}
		case s.Protocol == call.PostgreSQL, s.Protocol == call.MySQL:
			row = []string{shownValue(strings.TrimSuffix(value, "\n"))} // data of COPY, a file, a row in binary form
		case part.Name == "null":
			row = []string{"  (null)"}
		case s.Protocol == call.Kafka && !isShownAsText([]byte(value)):
			p.hexLines(dir, []byte(value))
			continue
		default:
			row = []string{"  " + shownValue(value)}
		}
		end()
	}
	end()
	if !all {
		p.lostLine(dir, "more values are not shown")
	}
}

// partOf reads a part of a body, of which it returns the beginning.
func partOf(raw io.Reader, part content.Part) (string, error) {
	shown := min(part.Length, maxShownValue)
	b := make([]byte, shown)
	if _, err := io.ReadFull(raw, b); err != nil {
		return "", err
	}
	if _, err := io.CopyN(io.Discard, raw, part.Length-shown); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(b) + cutMark(shown < part.Length), nil
}

// shownValue returns a value that stays on its line.
func shownValue(value string) string {
	return strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(value)
}

// textRow returns the columns of a row of MySQL's text protocol: each one has its length in front, and
// 0xfb is NULL (https://mariadb.com/kb/en/result-set-packets/, "Text resultset row"). It is nil if row is none.
func textRow(row string) (columns []string) {
	cut := strings.HasSuffix(row, "…")
	for len(row) > 0 {
		size, n := int(row[0]), 1
		switch row[0] {
		case 0xfb:
			columns = append(columns, "NULL")
			row = row[1:]
			continue
		case 0xfc, 0xfd:
			if n = int(row[0]-0xfc) + 3; len(row) < n {
				return nil
			}
			size = int(row[1]) | int(row[2])<<8
			if n == 4 {
				size |= int(row[3]) << 16
			}
		case 0xfe, 0xff:
			return nil
		}
		if n+size > len(row) {
			if !cut {
				return nil
			}
			size = len(row) - n
		}
		columns = append(columns, shownValue(row[n:n+size]))
		row = row[n+size:]
	}
	return columns
}

// kafkaError returns the name of the error of a call of Kafka, "" if there is none.
func kafkaError(s *shownCall) string {
	if s.Protocol != call.Kafka || s.Code == 0 || s.Status == "" {
		return ""
	}
	var e *kerr.Error
	if errors.As(kerr.ErrorForCode(int16(s.Code)), &e) { //nolint:gosec // it was 16 bits in the answer
		return e.Message
	}
	return ""
}
