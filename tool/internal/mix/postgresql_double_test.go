package mix

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"mosn.io/tcpcopy/internal/loopback"
)

// startPostgreSQLDouble starts a server that answers the statements of the scenarios with
// something that fits them, for machines without PostgreSQL. pgx's own types encode it.
func startPostgreSQLDouble(t testing.TB) server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loopback.Serve(listener, func(conn net.Conn) {
		d := &postgresDouble{conn: conn, backend: pgproto3.NewBackend(conn, conn), prepared: map[string]string{}}
		d.serve()
	}))
	return server{address: listener.Addr().String(), name: "a double of PostgreSQL", double: true}
}

type postgresDouble struct {
	conn     net.Conn
	backend  *pgproto3.Backend
	prepared map[string]string // statements by name
	bound    string            // the statement of the portal
	failed   bool              // skip until Sync
}

// refusal returns the SQLSTATE that a statement deserves, "" if none.
func refusal(statement string) string {
	switch {
	case strings.Contains(statement, "nowhere"):
		return "42P01"
	case strings.HasPrefix(statement, "SELEC") && !strings.HasPrefix(statement, "SELECT"):
		return "42601"
	case strings.Contains(statement, "nocolumn"):
		return "42703"
	case strings.Contains(statement, "1/"):
		return "22012"
	case statement == "INSERT INTO e VALUES (1)":
		return "23505"
	}
	return ""
}

func (d *postgresDouble) refuse(code string) {
	d.backend.Send(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: "as the double has it"})
}

func (d *postgresDouble) serve() {
	for {
		startup, err := d.backend.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, ok := startup.(*pgproto3.SSLRequest); ok {
			fmt.Fprint(d.conn, "N")
			continue
		}
		hello, ok := startup.(*pgproto3.StartupMessage)
		if !ok {
			return
		}
		d.backend.Send(&pgproto3.AuthenticationCleartextPassword{})
		if d.backend.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil || d.backend.Flush() != nil {
			return
		}
		if _, err := d.backend.Receive(); err != nil {
			return
		}
		if hello.Parameters["user"] != dbUser {
			d.backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "28P01", Message: "password authentication failed"})
			_ = d.backend.Flush() // to a client that may have gone
			return
		}
		break
	}
	d.backend.Send(&pgproto3.AuthenticationOk{})
	d.backend.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"})
	d.backend.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	d.backend.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}})
	d.ready()
	for d.backend.Flush() == nil {
		message, err := d.backend.Receive()
		if err != nil {
			return
		}
		if !d.answer(message) {
			return
		}
	}
}

func (d *postgresDouble) ready() { d.backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'}) }

var oneColumn = []pgproto3.FieldDescription{{Name: []byte("?column?"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}}

// rows sends the result of a statement without its description.
func (d *postgresDouble) rows(statement string) {
	word, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(statement)), " ")
	switch {
	case word == "":
		d.backend.Send(&pgproto3.EmptyQueryResponse{})
		return
	case word == "SELECT" && strings.Contains(statement, "repeat"):
		d.backend.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(strings.Repeat("0123456789abcdef", 65536))}})
	case word == "SELECT" || strings.Contains(statement, "RETURNING"):
		d.backend.Send(&pgproto3.DataRow{Values: [][]byte{[]byte("1")}})
	}
	d.backend.Send(&pgproto3.CommandComplete{CommandTag: []byte(word + " 1")})
}

func (d *postgresDouble) query(statements string) {
	for _, statement := range strings.Split(statements, ";") {
		statement = strings.TrimSpace(statement)
		if code := refusal(statement); code != "" {
			d.refuse(code)
			return
		}
		switch {
		case strings.HasPrefix(statement, "COPY") && strings.HasSuffix(statement, "STDIN"):
			d.copyIn()
			return
		case strings.HasPrefix(statement, "COPY"):
			d.backend.Send(&pgproto3.CopyOutResponse{ColumnFormatCodes: []uint16{0, 0}})
			for i := range 100 {
				d.backend.Send(&pgproto3.CopyData{Data: fmt.Appendf(nil, "%d\tname %d\n", i, i)})
			}
			d.backend.Send(&pgproto3.CopyDone{})
			d.backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("COPY 100")})
			return
		case strings.HasPrefix(statement, "SELECT"):
			d.backend.Send(&pgproto3.RowDescription{Fields: oneColumn})
		case strings.HasPrefix(statement, "DO "):
			d.backend.Send(&pgproto3.NoticeResponse{Severity: "NOTICE", Code: "00000", Message: "careful"})
		}
		d.rows(statement)
		if strings.HasPrefix(statement, "NOTIFY") {
			d.backend.Send(&pgproto3.NotificationResponse{PID: 1, Channel: "news", Payload: "hello"})
		}
	}
}

func (d *postgresDouble) copyIn() {
	d.backend.Send(&pgproto3.CopyInResponse{ColumnFormatCodes: []uint16{0, 0}})
	if d.backend.Flush() != nil {
		return
	}
	text := false
	for {
		message, err := d.backend.Receive()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			text = text || strings.HasPrefix(string(m.Data), "no number")
		case *pgproto3.CopyDone:
			if text {
				d.refuse("22P02")
				return
			}
			d.backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("COPY 1")})
			return
		case *pgproto3.CopyFail:
			d.refuse("57014")
			return
		}
	}
}

// answer answers a message; it returns false when the connection ends.
func (d *postgresDouble) answer(message pgproto3.FrontendMessage) bool {
	if _, ok := message.(*pgproto3.Sync); ok {
		d.failed = false
		d.ready()
		return true
	}
	if d.failed {
		return true
	}
	switch m := message.(type) {
	case *pgproto3.Terminate:
		return false
	case *pgproto3.Query:
		d.query(m.String)
		d.ready()
	case *pgproto3.Parse:
		if code := refusal(m.Query); code != "" && code != "22012" {
			d.refuse(code)
			d.failed = true
			return true
		}
		d.prepared[m.Name] = m.Query
		d.backend.Send(&pgproto3.ParseComplete{})
	case *pgproto3.Bind:
		d.bound = d.prepared[m.PreparedStatement]
		if code := refusal(d.bound); code != "" {
			d.refuse(code)
			d.failed = true
			return true
		}
		d.backend.Send(&pgproto3.BindComplete{})
	case *pgproto3.Describe:
		statement := d.bound
		if m.ObjectType == 'S' {
			statement = d.prepared[m.Name]
			d.backend.Send(&pgproto3.ParameterDescription{})
		}
		if strings.HasPrefix(statement, "SELECT") || strings.Contains(statement, "RETURNING") {
			d.backend.Send(&pgproto3.RowDescription{Fields: oneColumn})
		} else {
			d.backend.Send(&pgproto3.NoData{})
		}
	case *pgproto3.Execute:
		d.rows(d.bound)
	case *pgproto3.Close:
		d.backend.Send(&pgproto3.CloseComplete{})
	case *pgproto3.Flush:
	}
	return true
}
