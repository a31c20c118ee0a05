package mix

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/internal/witness"
)

// mysql8 is a double of MySQL 8 as far as logins go (MySQL's client/server protocol, Caching_sha2_password information):
// it checks passwords as the server does, with clients that are real. Nothing else here speaks it.
type mysql8 struct {
	key    *rsa.PrivateKey
	cached sync.Map // users that may log in fast, as after a whole login
}

// The users of the double beside dbUser, which has the password and is cached after its first login.
const (
	userUncached = "uncached" // every login of it is a whole one
	userNative   = "native"   // has mysql_native_password
	userSHA256   = "sha256"   // has sha256_password
	userEmpty    = "empty"    // has no password
)

const (
	cachingSHA2 = "caching_sha2_password"
	nonce8      = "abcdefghijklmnopqrst" // of the greeting, and of each switch
)

func startMySQL8(t testing.TB) server {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	eight := &mysql8{key: key}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loopback.Serve(listener, func(conn net.Conn) {
		d := &mysqlDouble{conn: conn, prepared: map[uint32]string{}}
		d.greet(cachingSHA2)
		if login, err := d.read(); err == nil && eight.login(d, login) {
			d.ok(0)
			d.commands()
		}
	}))
	return server{address: listener.Addr().String(), name: "a double of MySQL 8", fast: &sync.Map{}, key: &key.PublicKey}
}

// login reports whether a client may log in. If not, it has sent an error, or the client has gone.
func (m *mysql8) login(d *mysqlDouble, login []byte) bool {
	const fixed = 4 + 4 + 1 + 23
	if len(login) < fixed {
		return false
	}
	name, rest, _ := bytes.Cut(login[fixed:], []byte{0})
	user := string(name)
	if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return false
	}
	answer, rest := rest[1:1+rest[0]], rest[1+rest[0]:]
	if login[0]&(1<<3) != 0 { // a database
		_, rest, _ = bytes.Cut(rest, []byte{0})
	}
	plugin, _, _ := bytes.Cut(rest, []byte{0})
	wanted := map[string]string{userNative: "mysql_native_password", userSHA256: "sha256_password"}[user]
	if wanted == "" {
		wanted = cachingSHA2
	}
	if string(plugin) != wanted {
		d.send([]byte("\xfe" + wanted + "\x00" + nonce8 + "\x00"))
		if d.flush() != nil {
			return false
		}
		var err error
		if answer, err = d.read(); err != nil {
			return false
		}
	}
	if !m.password(d, user, wanted, answer) {
		d.refuse(1045)
		d.finish()
		return false
	}
	return true
}

// password reports whether a client knows the password; answer is its first answer to the nonce.
func (m *mysql8) password(d *mysqlDouble, user, plugin string, answer []byte) bool {
	switch {
	case user == userEmpty:
		return len(answer) == 0 || len(answer) == 1 && answer[0] == 0
	case plugin == "mysql_native_password":
		once := sha1.Sum([]byte(dbPassword))
		twice := sha1.Sum(once[:])
		return subtle.ConstantTimeCompare(answer, xored(once[:], sha1sum(nonce8+string(twice[:])))) == 1
	case plugin == "sha256_password":
		if len(answer) == 1 && answer[0] == 1 { // it asks for the key
			answer = m.sendKey(d)
		}
		return m.decrypted(answer) == dbPassword
	}
	if _, ok := m.cached.Load(user); ok {
		once := sha256.Sum256([]byte(dbPassword))
		twice := sha256.Sum256(once[:])
		mask := sha256.Sum256(append(twice[:], nonce8...))
		if subtle.ConstantTimeCompare(answer, xored(once[:], mask[:])) == 1 {
			d.send([]byte{1, 3})
			return true
		}
	}
	d.send([]byte{1, 4}) // the whole authentication
	if d.flush() != nil {
		return false
	}
	answer, err := d.read()
	if err == nil && len(answer) == 1 && answer[0] == 2 { // it asks for the key
		answer = m.sendKey(d)
	}
	if m.decrypted(answer) != dbPassword {
		return false
	}
	if user == dbUser {
		m.cached.Store(user, true)
	}
	return true
}

// sendKey sends the public key, and returns what the client answers.
func (m *mysql8) sendKey(d *mysqlDouble) []byte {
	public, err := x509.MarshalPKIXPublicKey(&m.key.PublicKey)
	if err != nil {
		return nil
	}
	d.send(append([]byte{1}, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})...))
	if d.flush() != nil {
		return nil
	}
	answer, err := d.read()
	if err != nil {
		return nil
	}
	return answer
}

// decrypted returns the password that a client sent with the public key.
func (m *mysql8) decrypted(answer []byte) string {
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, m.key, answer, nil)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(xored(plain, []byte(nonce8))), "\x00")
}

func sha1sum(text string) []byte {
	sum := sha1.Sum([]byte(text))
	return sum[:]
}

// xored returns a with b, which is repeated.
func xored(a, b []byte) []byte {
	c := make([]byte, len(a))
	for i := range a {
		c[i] = a[i] ^ b[i%len(b)]
	}
	return c
}

// mysql8Login logs in, makes calls unless it is refused, and ends. key names the server's public key, "" if it has to be asked for. more says that the login has several steps.
func mysql8Login(r *run, user, password, key string, more bool) {
	c := r.mysql(func(c *mysql.Config) { c.User, c.Passwd, c.ServerPubKey = user, password, key })
	refused := false
	r.change(func(w *witness.Call) { w.Interleaved, refused = more, w.Failed })
	if refused {
		r.check(c.db.Close())
		return
	}
	c.query("SELECT 1")
	c.query("SELECT * FROM nowhere")
	c.do("PING", "", func() error { return c.sql.PingContext(r.ctx) })
	c.close()
}

func mysql8Scenarios() []scenario {
	return []scenario{
		{"mysql8", "logins", func(r *run) {
			mysql8Login(r, userUncached, dbPassword, "", true)
			mysql8Login(r, userUncached, "wrong", "", true)
			mysql.RegisterServerPubKey(r.on.address, r.on.key) // it need not be asked for
			mysql8Login(r, userUncached, dbPassword, r.on.address, true)
			mysql8Login(r, userUncached, "wrong", r.on.address, true)
			mysql8Login(r, userSHA256, dbPassword, r.on.address, true)
			mysql.DeregisterServerPubKey(r.on.address)
			mysql8Login(r, userNative, dbPassword, "", true)
			mysql8Login(r, userNative, "wrong", "", true)
			mysql8Login(r, userSHA256, dbPassword, "", true)
			mysql8Login(r, userSHA256, "wrong", "", true)
			mysql8Login(r, userEmpty, "", "", false)
			mysql8Login(r, userEmpty, "wrong", "", false)
		}},
		{"mysql8", "fast", func(r *run) {
			_, fast := r.on.fast.LoadOrStore(r.on.address, true) // the scenario runs more than once
			mysql8Login(r, dbUser, dbPassword, "", !fast)
			for range 3 {
				mysql8Login(r, dbUser, dbPassword, "", false)
			}
			mysql8Login(r, "other", "wrong", "", true)
		}},
		{"mysql8", "mysql8-command", func(r *run) {
			for _, user := range []string{userUncached, userSHA256, userNative} {
				statements := []string{"SELECT 1", "SELECT * FROM nowhere", "DO 1"}
				conn := r.shell(nil, strings.Join(statements, ";\n")+";\n", []string{"mariadb"}, "--no-defaults", "-hHOST", "-PPORT", "-u"+user, "-p"+dbPassword, "--force", "--batch", "--skip-ssl", dbName)
				if conn == nil {
					return
				}
				r.mysqlShell(conn, statements)
			}
		}},
	}
}

// mysqlShell notes a login in however many steps, and the statements behind it.
func (r *run) mysqlShell(conn *witness.Conn, statements []string) {
	r.Helper()
	requests, responses := turns(conn.Link, true)
	n := len(requests) - len(statements) - 1 // QUIT
	login := witness.Call{Protocol: "mysql", Method: mysqlLogin, Target: dbName, Status: "OK", Interleaved: n > 1}
	login.Request, login.Response = join(requests[:n]...), join(responses[:n]...)
	r.note(conn, login)
	for i, s := range statements {
		c := witness.Call{Protocol: "mysql", Method: "QUERY", Target: s, Status: "OK", Request: requests[n+i], Response: responses[n+i]}
		if strings.Contains(s, "nowhere") {
			c.Status, c.Code, c.Failed = fmt.Sprint(1146), 1146, true
		}
		r.note(conn, c)
	}
	r.note(conn, witness.Call{Protocol: "mysql", Method: "QUIT", Request: requests[len(requests)-1], NoAnswer: true})
}
