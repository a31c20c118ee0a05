package mix

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

// mysqlLogin is the method of a login.
const mysqlLogin = "CONNECT"

// mysqlClient is a client with one connection.
type mysqlClient struct {
	r    *run
	conn *witness.Conn
	db   *sql.DB
	sql  *sql.Conn
}

// mysql connects. change may be nil.
func (r *run) mysql(change func(*mysql.Config)) *mysqlClient {
	c := &mysqlClient{r: r}
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName = dbUser, dbPassword, dbName
	config.Net, config.Addr = "tcp", "path:1"
	config.ReadTimeout, config.WriteTimeout = 20*time.Second, 20*time.Second
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := r.path.Dial(ctx)
		c.conn = conn
		return conn, err
	}
	if change != nil {
		change(config)
	}
	connector, err := mysql.NewConnector(config)
	r.check(err)
	c.db = sql.OpenDB(connector)
	c.db.SetMaxOpenConns(1)
	c.sql, err = c.db.Conn(r.ctx)
	status, failed := mysqlStatus(err)
	login := witness.Call{Protocol: "mysql", Method: mysqlLogin, Target: config.DBName, Status: status, Failed: failed, Comment: "the login"}
	login.Code = mysqlCode(login.Status)
	// The greeting is no part of the answer.
	head := c.conn.Link.Bytes(record.Out)
	greeting := 4 + uint64(head[0]) + uint64(head[1])<<8 + uint64(head[2])<<16
	login.Request, login.Response = between(witness.Mark{Out: greeting}, c.conn.Mark())
	r.note(c.conn, login)
	if err != nil && (config.User == dbUser || !failed) {
		r.Fatal(err)
	}
	return c
}

// mysqlStatus returns the status of a call that ended with err.
func mysqlStatus(err error) (status string, failed bool) {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return fmt.Sprint(refused.Number), true
	}
	return "OK", false
}

// mysqlCode returns the number of an error, 0 of a status that is none.
func mysqlCode(status string) int {
	n, err := strconv.Atoi(status)
	if err != nil {
		return 0
	}
	return n
}

// do makes one call and notes it.
func (c *mysqlClient) do(method, target string, call func() error) {
	c.r.Helper()
	c.r.do(c.conn, witness.Call{Protocol: "mysql", Method: method, Target: target}, func() (string, bool) {
		c.r.Helper()
		err := call()
		status, failed := mysqlStatus(err)
		if err != nil && !failed {
			c.r.Fatalf("%s %s: %v", method, short(target), err)
		}
		return status, failed
	})
	c.r.change(func(w *witness.Call) { w.Code = mysqlCode(w.Status) })
}

func (c *mysqlClient) exec(statement string) {
	c.r.Helper()
	c.do("QUERY", statement, func() error { _, err := c.sql.ExecContext(c.r.ctx, statement); return err })
}

func (c *mysqlClient) query(statement string) {
	c.r.Helper()
	c.do("QUERY", statement, func() error { return drain(c.sql.QueryContext(c.r.ctx, statement)) })
}

// drain reads all rows of all results.
func drain(rows *sql.Rows, failed error) (err error) {
	if failed != nil {
		return failed
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for {
		for rows.Next() {
		}
		if rows.Err() != nil || !rows.NextResultSet() {
			return rows.Err()
		}
	}
}

// prepared executes a prepared statement with each of some arguments.
func (c *mysqlClient) prepared(statement string, arguments ...[]any) {
	c.r.Helper()
	var prepared *sql.Stmt
	c.do("PREPARE", statement, func() (err error) { prepared, err = c.sql.PrepareContext(c.r.ctx, statement); return err })
	if prepared == nil {
		return
	}
	for _, args := range arguments {
		c.do("EXECUTE", statement, func() error { return drain(prepared.QueryContext(c.r.ctx, args...)) })
	}
	c.do("CLOSE", statement, func() error { return prepared.Close() })
}

func (c *mysqlClient) close() {
	c.r.Helper()
	c.do("QUIT", "", func() error {
		return errors.Join(c.sql.Raw(func(any) error { return nil }), c.sql.Close(), c.db.Close())
	})
}

func mysqlScenarios() []scenario {
	return []scenario{
		{"mysql", "queries", mysqlQueries},
		{"mysql", "prepared", mysqlPrepared},
		{"mysql", "errors", mysqlErrors},
		{"mysql", "multi", mysqlMulti},
		{"mysql", "local-infile", mysqlLocal},
		{"mysql", "big", mysqlBig},
		{"mysql", "refused", func(r *run) { r.check(r.mysql(func(c *mysql.Config) { c.User = "nobody" }).db.Close()) }},
		{"mysql", "compressed", func(r *run) {
			c := r.mysql(func(c *mysql.Config) { r.check(c.Apply(mysql.EnableCompression(true))) })
			r.change(func(w *witness.Call) { w.Comment = "tshark cannot decompress what follows" })
			c.query("SELECT 1")
			c.query("SELECT REPEAT('text', 1000)")
			c.exec("DO '" + strings.Repeat("long ", 1000) + "'")
			c.query("SELECT * FROM nowhere")
			c.close()
		}},
		{"mysql", "tls-not-offered", func(r *run) {
			c := r.mysql(func(c *mysql.Config) { c.TLSConfig = "preferred" })
			c.query("SELECT 1")
			c.close()
		}},
	}
}

func mysqlQueries(r *run) {
	c := r.mysql(nil)
	c.exec("CREATE TABLE IF NOT EXISTS q (id INT PRIMARY KEY, name VARCHAR(100), data BLOB, at DATETIME(6))")
	c.exec("DELETE FROM q")
	for i := range 20 {
		c.exec(fmt.Sprintf("INSERT INTO q VALUES (%d, 'name %d', x'00ff0a', NOW(6))", i, i))
		c.query(fmt.Sprintf("SELECT * FROM q WHERE id <= %d", i))
		c.exec(fmt.Sprintf("UPDATE q SET name = NULL WHERE id = %d", i))
	}
	c.query("SELECT /* ünïcode */ 'é\n2' FROM q")
	c.query("SELECT * FROM q WHERE id < 0")
	c.do("PING", "", func() error { return c.sql.PingContext(r.ctx) })
	c.exec("BEGIN")
	c.exec("INSERT INTO q VALUES (999, 'tx', '', NULL)")
	c.exec("ROLLBACK")
	c.close()
}

func mysqlPrepared(r *run) {
	c := r.mysql(nil)
	c.exec("CREATE TABLE IF NOT EXISTS p (id INT AUTO_INCREMENT PRIMARY KEY, name TEXT, n DOUBLE, at DATETIME)")
	for i := range 5 {
		c.prepared("INSERT INTO p (name, n, at) VALUES (?, ?, ?)", []any{fmt.Sprint("name", i), 1.5, time.Unix(0, 0)}, []any{nil, nil, nil}, []any{strings.Repeat("x", 300), -1, time.Now()})
		c.prepared("SELECT * FROM p WHERE id > ? AND name IS NOT NULL", []any{0}, []any{int64(1) << 40})
		c.prepared("SELECT 1", []any{}, []any{})
		c.prepared("DELETE FROM p WHERE id = ?", []any{-1})
	}
	c.prepared("SELECT * FROM nowhere WHERE a = ?", []any{1})
	c.exec("DROP TABLE p")
	c.close()
}

func mysqlErrors(r *run) {
	c := r.mysql(nil)
	c.exec("CREATE TABLE IF NOT EXISTS e (id INT PRIMARY KEY)")
	c.exec("REPLACE INTO e VALUES (1)")
	for range 5 {
		c.exec("INSERT INTO e VALUES (1)") // 1062
		c.query("SELECT * FROM nowhere")   // 1146
		c.query("SELEC")                   // 1064
		c.query("SELECT nocolumn FROM e")
		c.query("SELECT 1")
		c.prepared("INSERT INTO e VALUES (?)", []any{1}, []any{nil})
		c.query("SELECT EXP(id * 1000), (SELECT id FROM (SELECT 1 AS id UNION SELECT 2) AS two) FROM e")
	}
	c.close()
}

func mysqlMulti(r *run) {
	c := r.mysql(func(c *mysql.Config) { c.MultiStatements = true })
	c.exec("DROP PROCEDURE IF EXISTS both_results; CREATE PROCEDURE both_results() BEGIN SELECT 1; SELECT 2, 3; END")
	for range 5 {
		c.query("SELECT 1; SELECT 2 FROM DUAL WHERE FALSE; DO 1; SELECT 3, 4")
		c.query("CALL both_results()")
		c.query("SELECT 1; SELECT * FROM nowhere")
		c.query("DO 1; DO 2")
	}
	c.prepared("CALL both_results()", []any{})
	c.close()
}

func mysqlLocal(r *run) {
	c := r.mysql(func(c *mysql.Config) { c.AllowAllFiles = true })
	c.exec("CREATE TABLE IF NOT EXISTS l (id INT, name TEXT)")
	for i, size := range []int{0, 10, 100000} {
		name := fmt.Sprintf("%p-%d", r, i)
		mysql.RegisterReaderHandler(name, func() io.Reader {
			var b strings.Builder
			for k := 0; b.Len() < size; k++ {
				fmt.Fprintf(&b, "%d\tname %d\n", k, k)
			}
			return strings.NewReader(b.String())
		})
		c.exec("LOAD DATA LOCAL INFILE 'Reader::" + name + "' INTO TABLE l")
		r.change(func(w *witness.Call) { w.Interleaved = true }) // the server asks for the file
		mysql.DeregisterReaderHandler(name)
	}
	c.exec("LOAD DATA LOCAL INFILE 'Reader::none' INTO TABLE nowhere")
	c.query("SELECT COUNT(*) FROM l")
	c.exec("TRUNCATE l")
	c.close()
}

// mysqlBig sends and gets packets at the limit of 16 MiB.
func mysqlBig(r *run) {
	c := r.mysql(func(c *mysql.Config) { c.MaxAllowedPacket = 64 << 20 })
	c.query("SELECT REPEAT('0123456789abcdef', 65536)")
	c.query("SELECT LENGTH('" + strings.Repeat("long ", 400000) + "')")
	c.query("SELECT 1")
	c.close()
}
