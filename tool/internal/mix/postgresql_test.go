package mix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"mosn.io/tcpcopy/internal/witness"
)

// postgres is a client with one connection.
type postgres struct {
	r    *run
	conn *witness.Conn
	pg   *pgconn.PgConn
}

func (r *run) postgres(user string) *postgres {
	c := &postgres{r: r}
	config, err := pgconn.ParseConfig("host=127.0.0.1 port=1 sslmode=disable dbname=postgres")
	r.check(err)
	config.User, config.Password = user, dbPassword
	config.RuntimeParams["client_min_messages"] = "warning" // notices are no part of an answer
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := r.path.Dial(ctx)
		c.conn = conn
		return conn, err
	}
	c.pg, err = pgconn.ConnectConfig(r.ctx, config)
	status, failed := postgresStatus(err)
	login := witness.Call{Protocol: "postgresql", Method: "CONNECT", Target: config.Database, Status: status, Failed: failed, Interleaved: true, Comment: "the login"}
	login.Request, login.Response = between(witness.Mark{}, c.conn.Mark())
	r.note(c.conn, login)
	if err != nil && user == dbUser {
		r.Fatal(err)
	}
	return c
}

func postgresStatus(err error) (status string, failed bool) {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code, true
	}
	return "OK", false
}

func (c *postgres) do(method, target string, call func() error) {
	c.r.Helper()
	c.r.do(c.conn, witness.Call{Protocol: "postgresql", Method: method, Target: target}, func() (string, bool) {
		c.r.Helper()
		err := call()
		status, failed := postgresStatus(err)
		if err != nil && !failed {
			c.r.Fatalf("%s %s: %v", method, short(target), err)
		}
		return status, failed
	})
}

// query sends a simple query.
func (c *postgres) query(statement string) {
	c.r.Helper()
	c.do("QUERY", statement, func() error { _, err := c.pg.Exec(c.r.ctx, statement).ReadAll(); return err })
}

// params sends an extended query without a name.
func (c *postgres) params(statement string, values ...any) {
	c.r.Helper()
	c.do("EXECUTE", statement, func() error { return c.pg.ExecParams(c.r.ctx, statement, raw(values), nil, nil, nil).Read().Err })
}

func raw(values []any) [][]byte {
	var list [][]byte
	for _, v := range values {
		if v == nil {
			list = append(list, nil)
			continue
		}
		list = append(list, []byte(fmt.Sprint(v)))
	}
	return list
}

func (c *postgres) prepare(name, statement string) {
	c.r.Helper()
	c.do("PREPARE", statement, func() error { _, err := c.pg.Prepare(c.r.ctx, name, statement, nil); return err })
}

func (c *postgres) execute(name, statement string, values ...any) {
	c.r.Helper()
	c.do("EXECUTE", statement, func() error { return c.pg.ExecPrepared(c.r.ctx, name, raw(values), nil, []int16{1}).Read().Err })
}

func (c *postgres) close() {
	c.r.Helper()
	c.r.check(c.pg.Close(c.r.ctx))
}

func postgresScenarios() []scenario {
	return []scenario{
		{"postgresql", "queries", postgresQueries},
		{"postgresql", "extended", postgresExtended},
		{"postgresql", "errors", postgresErrors},
		{"postgresql", "copy", postgresCopy},
		{"postgresql", "pipeline", postgresPipeline},
		{"postgresql", "notices", postgresNotices},
		{"postgresql", "refused", func(r *run) { r.postgres("nobody") }},
		{"postgresql", "tls-refused", postgresTLS},
	}
}

func postgresQueries(r *run) {
	c := r.postgres(dbUser)
	c.query("CREATE TABLE IF NOT EXISTS q (id INT PRIMARY KEY, name TEXT, data BYTEA)")
	c.query("DELETE FROM q")
	for i := range 20 {
		c.query(fmt.Sprintf("INSERT INTO q VALUES (%d, 'name %d', '\\x00ff')", i, i))
		c.query(fmt.Sprintf("SELECT * FROM q WHERE id <= %d", i))
	}
	c.query("SELECT 1; SELECT 2; SELECT 3")
	c.query("")
	c.query("BEGIN; INSERT INTO q VALUES (99, 'tx', NULL); ROLLBACK")
	c.query("SELECT repeat('0123456789abcdef', 65536)")
	c.query("SELECT length('" + strings.Repeat("long", 100000) + "')")
	c.close()
}

func postgresExtended(r *run) {
	c := r.postgres(dbUser)
	c.query("CREATE TABLE IF NOT EXISTS x (id INT PRIMARY KEY, name TEXT)")
	c.query("DELETE FROM x")
	insert := "INSERT INTO x VALUES ($1, $2) RETURNING id"
	c.prepare("ins", insert)
	for i := range 10 {
		c.execute("ins", insert, i, fmt.Sprint("name ", i))
		c.params("SELECT * FROM x WHERE id <= $1", i)
		c.params("SELECT $1::text", nil)
	}
	c.prepare("", "SELECT now()")
	c.execute("", "SELECT now()")
	c.prepare("empty", "")
	c.execute("empty", "")
	r.check(c.pg.Deallocate(r.ctx, "ins")) // no call
	c.close()
}

func postgresErrors(r *run) {
	c := r.postgres(dbUser)
	c.query("CREATE TABLE IF NOT EXISTS e (id INT PRIMARY KEY)")
	c.query("INSERT INTO e VALUES (1) ON CONFLICT DO NOTHING")
	for range 5 {
		c.query("INSERT INTO e VALUES (1)") // 23505
		c.query("SELEC")                    // 42601
		c.query("SELECT 1; SELECT 1/0; SELECT 2")
		c.params("SELECT * FROM nowhere WHERE a = $1", 1)
		c.params("SELECT 1/$1::int", 0)
		c.params("SELECT $1::int", "text")
		c.prepare("bad", "SELECT nocolumn FROM e")
		c.query("SELECT 1")
	}
	c.close()
}

func postgresCopy(r *run) {
	c := r.postgres(dbUser)
	c.query("CREATE TABLE IF NOT EXISTS c (id INT, name TEXT)")
	for _, rows := range []int{0, 3, 20000} {
		var b strings.Builder
		for i := range rows {
			fmt.Fprintf(&b, "%d\tname %d\n", i, i)
		}
		in := "COPY c FROM STDIN"
		c.copyIn(in, b.String())
		out := "COPY c TO STDOUT"
		c.do("QUERY", out, func() error { _, err := c.pg.CopyTo(r.ctx, io.Discard, out); return err })
	}
	in := "COPY c (id) FROM STDIN"
	c.copyIn(in, "no number\n")
	r.change(func(w *witness.Call) { w.Request = nil }) // the server may answer before the last message comes
	c.query("TRUNCATE c")
	c.close()
}

// copyIn sends rows after the server has asked for them, so that there is no latency.
func (c *postgres) copyIn(statement, rows string) {
	c.r.Helper()
	c.do("QUERY", statement, func() error { _, err := c.pg.CopyFrom(c.r.ctx, strings.NewReader(rows), statement); return err })
	c.r.change(func(w *witness.Call) { w.Interleaved = true })
}

// postgresPipeline sends several queries before it reads an answer. The ranges of the single
// calls are not known.
func postgresPipeline(r *run) {
	c := r.postgres(dbUser)
	note := func(statement string, err error) {
		status, failed := postgresStatus(err)
		r.note(c.conn, witness.Call{Protocol: "postgresql", Method: "EXECUTE", Target: statement, Status: status, Failed: failed})
	}
	for round := range 5 {
		p := c.pg.StartPipeline(r.ctx)
		var statements []string
		for i := range 10 {
			statements = append(statements, fmt.Sprintf("SELECT %d + $1::int", i))
			p.SendQueryParams(statements[i], raw([]any{round}), nil, nil, nil)
			if round%2 == 0 {
				r.check(p.Sync())
			}
		}
		if round%2 == 1 {
			r.check(p.Sync())
		}
		for i := 0; i < len(statements); {
			result, err := p.GetResults()
			switch result := result.(type) {
			case *pgconn.ResultReader:
				_, err = result.Close()
				note(statements[i], err)
				i++
			case *pgconn.PipelineSync:
			default:
				r.Fatalf("%T %v", result, err)
			}
		}
		r.check(p.Close())
	}
	c.close()
}

func postgresNotices(r *run) {
	c := r.postgres(dbUser)
	c.query("SET client_min_messages TO notice")
	c.query("LISTEN news")
	c.query("NOTIFY news, 'hello'")
	c.query("DO $$ BEGIN RAISE NOTICE 'careful'; RAISE WARNING 'more'; END $$")
	r.change(func(w *witness.Call) { w.Response = nil }) // the notices in front of the answer are none of it
	c.query("SET application_name TO 'other'")
	c.close()
}

// postgresTLS asks for TLS, which the server refuses, and goes on without.
func postgresTLS(r *run) {
	var conn *witness.Conn
	config, err := pgconn.ParseConfig("host=127.0.0.1 port=1 sslmode=prefer dbname=postgres")
	r.check(err)
	config.User, config.Password = dbUser, dbPassword
	var conns []*witness.Conn
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := r.path.Dial(ctx)
		conn = c
		conns = append(conns, c)
		return c, err
	}
	for i := range config.Fallbacks {
		config.Fallbacks[i].Host = config.Host
	}
	pg, err := pgconn.ConnectConfig(r.ctx, config)
	r.check(err)
	c := &postgres{r: r, conn: conn, pg: pg}
	login := witness.Call{Protocol: "postgresql", Method: "CONNECT", Target: config.Database, Status: "OK", Interleaved: true, Comment: "the login"}
	login.Request, login.Response = between(witness.Mark{}, conn.Mark())
	r.note(conn, login)
	c.query("SELECT 1")
	c.close()
}
