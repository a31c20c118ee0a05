package mix

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

// shell runs a program that people use at a shell, with the address of the server for HOST
// and PORT in its arguments, and returns its connection. It returns nil if the program or the real
// server is not installed.
func (r *run) shell(environ []string, input string, programs []string, args ...string) *witness.Conn {
	r.Helper()
	program := find(programs...)
	if program == "" || r.on.double {
		return nil
	}
	front, err := r.path.Front()
	r.check(err)
	r.lastFront = front
	host, port, err := net.SplitHostPort(front)
	r.check(err)
	for i := range args {
		args[i] = strings.NewReplacer("HOST", host, "PORT", port).Replace(args[i])
	}
	before := len(r.path.Links())
	cmd := exec.CommandContext(r.ctx, program, args...)
	cmd.Env = append(os.Environ(), environ...)
	cmd.Stdin = strings.NewReader(input)
	var exit *exec.ExitError // a statement that fails may make the program fail
	if out, err := cmd.CombinedOutput(); err != nil && !errors.As(err, &exit) {
		r.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	links := r.path.Links()[before:]
	if len(links) != 1 {
		r.Fatalf("%s made %d connections", program, len(links))
	}
	eventually(r, program+" has closed its connection", links[0].Ended)
	return &witness.Conn{Link: links[0]}
}

// turns returns the ranges of what the client sent before the server sent something, and of
// that. greeted says that the server begins: that is left out.
func turns(link *witness.Link, greeted bool) (requests, responses []*witness.Range) {
	for _, c := range link.Chunks() {
		where := &witness.Range{Offset: c.Offset, Length: uint64(len(c.Data))}
		switch {
		case c.Direction == record.In && len(requests) == len(responses):
			requests = append(requests, where)
		case c.Direction == record.In:
			requests[len(requests)-1] = join(requests[len(requests)-1], where)
		case greeted && len(requests) == 0:
		case len(responses) < len(requests):
			responses = append(responses, where)
		default:
			responses[len(responses)-1] = join(responses[len(responses)-1], where)
		}
	}
	return requests, responses
}

// noteTurns notes calls, one for each turn of conn. Those behind the last answer have none.
func (r *run) noteTurns(conn *witness.Conn, greeted bool, calls []witness.Call) {
	r.Helper()
	requests, responses := turns(conn.Link, greeted)
	if len(requests) != len(calls) {
		r.Fatalf("%d turns, want %d: %+v", len(requests), len(calls), calls)
	}
	for i, c := range calls {
		c.Request = requests[i]
		if i < len(responses) {
			c.Response = responses[i]
		} else {
			c.NoAnswer, c.Status = true, ""
		}
		r.note(conn, c)
	}
}

func commandScenarios() []scenario {
	return []scenario{
		{"mysql", "mysql-command", func(r *run) {
			statements := []string{"SELECT 1", "SELECT 'two words', NULL", "SELECT * FROM nowhere", "DO 1"}
			conn := r.shell(nil, strings.Join(statements, ";\n")+";\n", []string{"mariadb", "mysql"}, "--no-defaults", "-hHOST", "-PPORT", "-u"+dbUser, "-p"+dbPassword, "--force", "--batch", "--skip-ssl", dbName)
			if conn == nil {
				return
			}
			calls := []witness.Call{{Protocol: "mysql", Method: mysqlLogin, Target: dbName, Status: "OK"}}
			for _, s := range statements {
				calls = append(calls, witness.Call{Protocol: "mysql", Method: "QUERY", Target: s, Status: "OK"})
			}
			calls[3].Status, calls[3].Code, calls[3].Failed = "1146", 1146, true
			r.noteTurns(conn, true, append(calls, witness.Call{Protocol: "mysql", Method: "QUIT"}))
		}},
		{"postgresql", "psql-command", func(r *run) {
			statements := []string{"SELECT 1", "SELECT 'two', 3; SELECT 4", "SELECT * FROM nowhere", "SELECT 5"}
			args := []string{"-X", "-q", "-h", "HOST", "-p", "PORT", "-U", dbUser, "-d", "postgres"}
			for _, s := range statements {
				args = append(args, "-c", s)
			}
			conn := r.shell([]string{"PGPASSWORD=" + dbPassword, "PGSSLMODE=disable", "PGGSSENCMODE=disable"}, "", []string{"psql", "/usr/lib/postgresql/*/bin/psql"}, args...)
			if conn == nil {
				return
			}
			// How many turns the login has depends on the server.
			login := witness.Call{Protocol: "postgresql", Method: "CONNECT", Target: "postgres", Status: "OK", Interleaved: true}
			requests, responses := turns(conn.Link, false)
			n := len(responses) - len(statements)
			login.Request, login.Response = join(requests[0], requests[n-1]), join(responses[0], responses[n-1])
			r.note(conn, login)
			for i, s := range statements {
				c := witness.Call{Protocol: "postgresql", Method: "QUERY", Target: s, Status: "OK", Request: requests[n+i], Response: responses[n+i]}
				if strings.Contains(s, "nowhere") {
					c.Status, c.Failed = "42P01", true
				}
				r.note(conn, c)
			}
		}},
		{"redis", "redis-cli", func(r *run) {
			var input strings.Builder
			for i := range 20 {
				fmt.Fprintf(&input, "SET cli:%d \"value %d\"\nGET cli:%d\nLPUSH cli:%d x\nDEL cli:%d\n", i, i, i, i, i)
			}
			if conn := r.shell(nil, input.String(), []string{"redis-cli"}, "-h", "HOST", "-p", "PORT"); conn != nil {
				r.redisCalls(conn)
			}
		}},
		{"http", "curl", func(r *run) {
			conn := r.shell(nil, "", []string{"curl"}, "-sS", "--http1.1", "-d", `{"a":1}`, "-H", "X-Request-Id: 77",
				"http://HOST:PORT/first?size=10&status=201", "http://HOST:PORT/second?as=gzip&size=3000&status=500", "http://HOST:PORT/third?status=204")
			if conn == nil {
				return
			}
			var calls []witness.Call
			for _, c := range []struct {
				target string
				code   int
			}{{"/first?size=10&status=201", 201}, {"/second?as=gzip&size=3000&status=500", 500}, {"/third?status=204", 204}} {
				calls = append(calls, witness.Call{Protocol: "http/1.1", Method: "POST", Target: c.target, Host: r.lastFront, Status: fmt.Sprint(c.code), Code: c.code, Failed: c.code >= 500})
			}
			r.noteTurns(conn, false, calls)
		}},
		{"http", "curl-http2", func(r *run) {
			conn := r.shell(nil, "", []string{"curl"}, "-sS", "--http2-prior-knowledge", "-d", `{"a":1}`, "-H", mixHeader+": 1", "http://HOST:PORT/h2?size=5000")
			if conn != nil {
				r.h2calls(conn, map[string]witness.Call{"1": {Protocol: "http/2", Method: "POST", Target: "/h2?size=5000", Host: r.lastFront, Status: "200", Code: 200}})
			}
		}},
	}
}
