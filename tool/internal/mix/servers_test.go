package mix

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5/pgconn"
)

// server is a started server.
type server struct {
	address string
	name    string // what it is, for the log
	double  bool   // it stands for a real server that is not installed

	// What clients know of single servers.
	rpc    *rpcServer     // of those of RPC protocols
	stage  *stage         // of the one that follows scripts
	roots  *x509.CertPool // of the one of TLS
	topics *sync.Map      // of Kafka: names of topics by their ids
	fast   *sync.Map      // of MySQL 8: whether dbUser has logged in before
	key    *rsa.PublicKey // of MySQL 8
}

// startServer starts the server that scenarios call name, until the test ends.
func startServer(t testing.TB, name string) server {
	t.Helper()
	switch name {
	case "redis":
		return startRedis(t)
	case "mysql":
		return startMySQL(t)
	case "mysql8":
		return startMySQL8(t)
	case "postgresql":
		return startPostgreSQL(t)
	case "script":
		return startScripted(t)
	case "http":
		return startHTTP(t)
	case "nginx":
		return startNginx(t, false)
	case "nginx-http2":
		return startNginx(t, true)
	case "grpc":
		return startGRPC(t)
	case "websocket":
		return startWebSocket(t)
	case "tls":
		return startTLS(t)
	case "kafka":
		return startKafka(t)
	case "dubbo", "bolt", "tars", "thrift":
		return startRPC(t, name)
	}
	t.Fatalf("no server %q", name)
	return server{}
}

// startServers starts servers at the same time, since some need long.
func startServers(t testing.TB, names []string) []server {
	t.Helper()
	started := make([]server, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { started[i] = startServer(t, name) }) // what fails ends its goroutine, and the test below
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return started
}

// freePort returns a port of the loopback on which nobody listens.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// spawn starts a program and returns when its port accepts connections. It ends with the test.
func spawn(t testing.TB, port int, account *syscall.Credential, program string, args ...string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: account}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the program
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	t.Cleanup(func() {
		// Killed at once, postgres would leave shared memory behind.
		signalled := cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			signalled = errors.Join(signalled, cmd.Process.Kill())
			<-ended
		}
		if signalled != nil && !errors.Is(signalled, os.ErrProcessDone) {
			t.Error(signalled)
		}
		out.Close()
	})
	eventually(t, program+" serves", func() bool {
		select {
		case <-ended:
			text, _ := os.ReadFile(log)
			t.Fatalf("%s has ended:\n%s", program, text)
		default:
		}
		conn, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", port), time.Second)
		return err == nil && conn.Close() == nil
	})
}

// find returns the path of the first of programs that is installed, "" if none is, or with
// MIX_DOUBLES.
func find(programs ...string) string {
	if os.Getenv("MIX_DOUBLES") != "" {
		return ""
	}
	for _, p := range programs {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
		if matches, _ := filepath.Glob(p); strings.Contains(p, "/") && len(matches) > 0 {
			return matches[len(matches)-1]
		}
	}
	return ""
}

func startRedis(t testing.TB) server {
	t.Helper()
	if program := find("redis-server"); program != "" {
		port := freePort(t)
		spawn(t, port, nil, program, "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
		return server{address: fmt.Sprint("127.0.0.1:", port), name: "redis-server"}
	}
	double := miniredis.RunT(t)
	return server{address: double.Addr(), name: "miniredis", double: true}
}

// account returns whom to run a program as that does not run as root, and gives it folder.
func account(t testing.TB, folder string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	const nobody = 65534
	for dir := folder; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // so that it comes through
			t.Fatal(err)
		}
	}
	if err := os.Chown(folder, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: nobody, Gid: nobody}
}

// try runs a program to its end.
func try(t testing.TB, as *syscall.Credential, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// The account of the databases.
const (
	dbUser     = "mix"
	dbPassword = "a pass'word"
	dbName     = "mixdb"
)

func startMySQL(t testing.TB) server {
	t.Helper()
	program, install := find("mariadbd", "/usr/sbin/mariadbd"), find("mariadb-install-db")
	if program == "" || install == "" {
		return startMySQLDouble(t)
	}
	folder := t.TempDir()
	as := account(t, folder)
	data, initial := filepath.Join(folder, "data"), filepath.Join(folder, "init.sql")
	sql := fmt.Sprintf("CREATE DATABASE %[1]s;\nCREATE USER '%[2]s'@'%%' IDENTIFIED BY '%[3]s';\nGRANT ALL ON *.* TO '%[2]s'@'%%';\n", dbName, dbUser, strings.ReplaceAll(dbPassword, "'", "''"))
	if err := os.WriteFile(initial, []byte(sql), 0o644); err != nil {
		t.Fatal(err)
	}
	try(t, as, install, "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve")
	port := freePort(t)
	spawn(t, port, as, program, "--no-defaults", "--datadir="+data, "--bind-address=127.0.0.1", fmt.Sprint("--port=", port), "--socket="+filepath.Join(folder, "s"),
		"--pid-file="+filepath.Join(folder, "pid"), "--init-file="+initial, "--local-infile=1", "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M")
	return server{address: fmt.Sprint("127.0.0.1:", port), name: "mariadbd"}
}

func startPostgreSQL(t testing.TB) server {
	t.Helper()
	program, install := find("postgres", "/usr/lib/postgresql/*/bin/postgres"), find("initdb", "/usr/lib/postgresql/*/bin/initdb")
	if program == "" || install == "" {
		return startPostgreSQLDouble(t)
	}
	folder := t.TempDir()
	as := account(t, folder)
	data, password := filepath.Join(folder, "data"), filepath.Join(folder, "pw")
	if err := os.WriteFile(password, []byte(dbPassword), 0o644); err != nil {
		t.Fatal(err)
	}
	try(t, as, install, "-D", data, "-U", dbUser, "-A", "scram-sha-256", "--pwfile="+password, "--no-sync", "--locale=C", "-E", "UTF8")
	port := freePort(t)
	spawn(t, port, as, program, "-D", data, "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-k", folder, "-F", "-c", "max_prepared_transactions=4")
	// It accepts connections before it serves them.
	eventually(t, "postgres serves", func() bool {
		conn, err := pgconn.Connect(t.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=postgres sslmode=disable", port, dbUser, strings.ReplaceAll(dbPassword, "'", "\\'")))
		return err == nil && conn.Close(t.Context()) == nil
	})
	return server{address: fmt.Sprint("127.0.0.1:", port), name: "postgres"}
}
