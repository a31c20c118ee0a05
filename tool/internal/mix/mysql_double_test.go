package mix

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/loopback"
)

// startMySQLDouble starts a server that answers the statements of the scenarios with
// something that fits them, for machines without MariaDB. The driver of the scenarios
// is real, and refuses what is not right.
func startMySQLDouble(t testing.TB) server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loopback.Serve(listener, func(conn net.Conn) {
		(&mysqlDouble{conn: conn, prepared: map[uint32]string{}}).serve()
	}))
	return server{address: listener.Addr().String(), name: "a double of MySQL", double: true}
}

// The capabilities of the double (MySQL's client/server protocol, Capabilities Flags).
const (
	mysqlCapabilities = 1<<0 /* long password */ | 1<<2 /* long flag */ | 1<<3 /* with a database */ | 1<<7 /* local files */ |
		1<<9 /* 4.1 */ | 1<<13 /* transactions */ | 1<<15 /* secure connection */ | 1<<16 /* multi statements */ |
		1<<17 /* multi results */ | 1<<18 /* for prepared statements too */ | 1<<19 /* authentication plugins */
	mysqlMore = 8 // status: more results follow
)

// mysqlDouble is one connection of the double.
type mysqlDouble struct {
	conn     net.Conn
	seq      byte
	out      bytes.Buffer
	prepared map[uint32]string
	next     uint32 // id of the last prepared statement
}

// read returns the next packet; those of the greatest length go on in the next.
func (d *mysqlDouble) read() ([]byte, error) {
	var all []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(d.conn, head[:]); err != nil {
			return nil, err
		}
		n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		d.seq = head[3] + 1
		part := make([]byte, n)
		if _, err := io.ReadFull(d.conn, part); err != nil {
			return nil, err
		}
		all = append(all, part...)
		if n < 1<<24-1 {
			return all, nil
		}
	}
}

func (d *mysqlDouble) send(payload []byte) {
	for {
		n := min(len(payload), 1<<24-1)
		d.out.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), d.seq})
		d.seq++
		d.out.Write(payload[:n])
		payload = payload[n:]
		if n < 1<<24-1 {
			return
		}
	}
}

// finish sends what there is to a client that may have gone.
func (d *mysqlDouble) finish() { _ = d.flush() }

func (d *mysqlDouble) flush() error {
	_, err := d.conn.Write(d.out.Bytes())
	d.out.Reset()
	return err
}

// text appends a string with its length in front.
func text(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 251:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.LittleEndian.AppendUint16(append(b, 0xfc), uint16(n))
	default:
		b = append(b, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	}
	return append(b, s...)
}

func (d *mysqlDouble) ok(status byte) { d.send([]byte{0, 1, 0, 2 | status, 0, 0, 0}) }

func (d *mysqlDouble) eof(status byte) { d.send([]byte{0xfe, 0, 0, 2 | status, 0}) }

func (d *mysqlDouble) refuse(number uint16) {
	d.send(append(binary.LittleEndian.AppendUint16([]byte{0xff}, number), "#42000as the double has it"...))
}

func (d *mysqlDouble) column(name string) {
	var b []byte
	for _, s := range []string{"def", "", "", "", name, name} {
		b = text(b, s)
	}
	d.send(append(b, 0x0c, 33, 0, 255, 0, 0, 0, 253 /* VAR_STRING */, 0, 0, 0, 0, 0))
}

// result sends a result of one column. binary is for prepared statements.
func (d *mysqlDouble) result(value string, rows int, isBinary bool, status byte) {
	d.send([]byte{1})
	d.column("c")
	d.eof(status)
	for range rows {
		var row []byte
		if isBinary {
			row = []byte{0, 0}
		}
		d.send(text(row, value))
	}
	d.eof(status)
}

// mysqlRefusal returns the error that a statement deserves, 0 if none.
func mysqlRefusal(statement string) uint16 {
	switch {
	case strings.Contains(statement, "nowhere"):
		return 1146
	case strings.HasPrefix(statement, "SELEC") && !strings.HasPrefix(statement, "SELECT"):
		return 1064
	case strings.Contains(statement, "nocolumn"):
		return 1054
	case strings.HasPrefix(statement, "INSERT INTO e VALUES (1)"):
		return 1062
	}
	return 0
}

func (d *mysqlDouble) serve() {
	d.greet("mysql_native_password")
	login, err := d.read()
	if err != nil || len(login) < 33 {
		return
	}
	if user, _, _ := bytes.Cut(login[32:], []byte{0}); string(user) != dbUser {
		d.refuse(1045)
		d.finish()
		return
	}
	d.ok(0)
	d.commands()
}

// greet sends the greeting, to a client that may have gone. plugin is how the client is to show that it knows the password.
func (d *mysqlDouble) greet(plugin string) {
	greeting := append([]byte{10}, "8.0.0-double\x00\x01\x00\x00\x00abcdefgh\x00"...)
	greeting = binary.LittleEndian.AppendUint16(greeting, mysqlCapabilities&0xffff)
	greeting = append(greeting, 33, 2, 0)
	greeting = binary.LittleEndian.AppendUint16(greeting, mysqlCapabilities>>16)
	greeting = append(greeting, 21)
	greeting = append(greeting, make([]byte, 10)...)
	greeting = append(greeting, "ijklmnopqrst\x00"+plugin+"\x00"...)
	d.send(greeting)
	d.finish()
}

// commands answers the commands of a client that is logged in.
func (d *mysqlDouble) commands() {
	for d.flush() == nil {
		command, err := d.read()
		if err != nil || len(command) == 0 || !d.answer(command[0], command[1:]) {
			return
		}
	}
}

// answer answers a command; it returns false when the connection ends.
func (d *mysqlDouble) answer(command byte, b []byte) bool {
	switch command {
	case 1: // QUIT
		return false
	case 3: // QUERY
		d.query(string(b))
	case 14: // PING
		d.ok(0)
	case 22: // PREPARE
		d.prepare(string(b))
	case 23: // EXECUTE
		statement := d.prepared[binary.LittleEndian.Uint32(b)]
		switch {
		case strings.HasPrefix(statement, "SELECT"), strings.HasPrefix(statement, "CALL"):
			d.result("1", 2, true, 0)
		default:
			if number := mysqlRefusal(strings.ReplaceAll(statement, "(?)", "(1)")); number != 0 {
				d.refuse(number)
			} else {
				d.ok(0)
			}
		}
	case 25: // CLOSE
		delete(d.prepared, binary.LittleEndian.Uint32(b))
	default:
		d.refuse(1047)
	}
	return true
}

func (d *mysqlDouble) query(statements string) {
	list := strings.Split(statements, ";")
	if strings.Contains(statements, "BEGIN SELECT") {
		list = list[:1] // a procedure
	}
	for i, statement := range list {
		statement = strings.TrimSpace(statement)
		var status byte
		if i < len(list)-1 {
			status = mysqlMore
		}
		if number := mysqlRefusal(statement); number != 0 {
			d.refuse(number)
			return
		}
		switch {
		case strings.Contains(statement, "LOCAL INFILE '"):
			_, name, _ := strings.Cut(statement, "LOCAL INFILE '")
			name, _, _ = strings.Cut(name, "'")
			d.send(append([]byte{0xfb}, name...))
			if d.flush() != nil {
				return
			}
			for {
				part, err := d.read()
				if err != nil {
					return
				}
				if len(part) == 0 {
					break
				}
			}
			d.ok(status)
		case strings.Contains(statement, "REPEAT("):
			d.result(strings.Repeat("0123456789abcdef", 65536), 1, false, status)
		case strings.HasPrefix(statement, "SELECT"):
			d.result(fmt.Sprint("value of ", i), 3, false, status)
		case strings.HasPrefix(statement, "CALL"):
			d.result("1", 1, false, mysqlMore)
			d.result("2", 1, false, mysqlMore)
			d.ok(status)
		default:
			d.ok(status)
		}
	}
}

func (d *mysqlDouble) prepare(statement string) {
	if number := mysqlRefusal(statement); number == 1146 || number == 1064 {
		d.refuse(number)
		return
	}
	d.next++
	d.prepared[d.next] = statement
	parameters := strings.Count(statement, "?")
	columns := 0
	if strings.HasPrefix(statement, "SELECT") || strings.HasPrefix(statement, "CALL") {
		columns = 1
	}
	b := binary.LittleEndian.AppendUint32([]byte{0}, d.next)
	b = binary.LittleEndian.AppendUint16(b, uint16(columns))
	b = binary.LittleEndian.AppendUint16(b, uint16(parameters))
	d.send(append(b, 0, 0, 0))
	for range parameters {
		d.column("?")
	}
	if parameters > 0 {
		d.eof(0)
	}
	for range columns {
		d.column("c")
	}
	if columns > 0 {
		d.eof(0)
	}
}
