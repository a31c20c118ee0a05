package persistence_test

import (
	"fmt"
	"os"
	"time"

	"mosn.io/tcpcopy/pkg/filter/network/tcpcopy/persistence"
	"mosn.io/tcpcopy/pkg/record"
)

// One connection in one window: a request and its answer are in the flow log when the
// session is closed.
func Example() {
	dir, err := os.MkdirTemp("", "dump-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	config := persistence.DefaultConfig()
	config.Dir, config.Formats, config.Spool = dir, []persistence.Format{persistence.FormatHexMeta}, persistence.SpoolOff
	config.MinFree = persistence.MinFree{} // record however full the disk is
	store, err := persistence.Open(config, persistence.Host{Run: "aaaaaa"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	opened := time.Now()
	session, err := store.OpenWindow(record.Window{ID: "0dc9ed4c-6f9f-4d12-8a5e-6f1c9d3c7a10", Trigger: record.TriggerManual, Opened: opened})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn := &persistence.Conn{ID: 1, Describe: func() record.Endpoint {
		return record.Endpoint{Identity: record.Identity{
			Conn: "aaaaaa-1", Port: "2045", ListenerName: "rpc", Network: "tcp", Peer: "192.0.2.1:40000", Listener: "198.51.100.1:2045",
		}}
	}}
	session.Data(conn, record.In, record.PerDirection{}, [][]byte{[]byte("request")}, 7)
	session.Data(conn, record.Out, record.PerDirection{In: 7}, [][]byte{[]byte("answer")}, 6)
	session.End(conn, record.CloseRemote, record.PerDirection{In: 7, Out: 6})
	session.Close(time.Now())

	accounts := store.Stats().Accounts
	fmt.Printf("%d connection, %d bytes in, %d bytes out, %v lost\n", accounts.Connections, accounts.Written.In, accounts.Written.Out, accounts.LostBy)
	// Output:
	// 1 connection, 7 bytes in, 6 bytes out, map[] lost
}
