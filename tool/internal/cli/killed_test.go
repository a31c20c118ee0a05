package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/record"
)

// killedRecorder is a program that records into the directory that it is given
// and is killed before anything is written. It exits with 1 when that fails.
func killedRecorder() {
	if err := recordAndDie(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

func recordAndDie(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c := persistence.DefaultConfig()
	c.Dir, c.Formats, c.BufferSize = dir, []persistence.Format{persistence.FormatHexMeta}, persistence.MinBufferSize
	c.Spool = filepath.Join(dir, "spool")
	store, err := persistence.Open(c, persistence.Host{Run: "k3v9qa"})
	if err != nil {
		return err
	}
	session, err := store.OpenWindow(record.Window{
		ID: "7d3e1c5a-0000-4000-8000-000000000001", Trigger: record.TriggerManual, Opened: time.Now(),
	})
	if err != nil {
		return err
	}
	conn := &persistence.Conn{ID: 1, Describe: func() record.Endpoint {
		return record.Endpoint{Identity: record.Identity{Conn: "k3v9qa-1", Port: "80", Network: "tcp", Peer: "192.0.2.1:4711", Listener: "192.0.2.2:80"}}
	}}
	session.Data(conn, record.In, record.PerDirection{}, [][]byte{[]byte("hello")}, 5)
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}
