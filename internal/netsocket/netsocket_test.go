package netsocket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inodeOf returns the inode of a connection's socket, as the system says.
func inodeOf(t *testing.T, c net.Conn) uint32 {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := raw.Control(func(fd uintptr) {
		if err := unix.Fstat(int(fd), &st); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}

func addrPort(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

// connection is one over the loopback.
func connection(t *testing.T, listen, dial string) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		t.Skip("no such address here:", err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", net.JoinHostPort(dial, fmt.Sprint(ln.Addr().(*net.TCPAddr).Port))); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func TestInodeIsThatOfTheOtherEnd(t *testing.T) {
	for _, c := range []struct{ listen, dial string }{
		{"127.0.0.1:0", "127.0.0.1"},
		{"127.0.0.1:0", "::ffff:127.0.0.1"},
		{"[::]:0", "127.0.0.1"}, // an IPv6 socket, with mapped addresses
		{"[::]:0", "127.8.9.1"},
		{"[::1]:0", "::1"},
		{"0.0.0.0:0", "127.0.0.1"},
	} {
		client, server := connection(t, c.listen, c.dial)
		want := inodeOf(t, client)
		remote, local := addrPort(server.RemoteAddr()), addrPort(server.LocalAddr())
		for _, mapped := range []bool{false, true} {
			if mapped {
				remote = netip.AddrPortFrom(netip.AddrFrom16(remote.Addr().As16()), remote.Port())
			}
			if got, err := Inode(remote, local); err != nil || got != want {
				t.Errorf("%+v, mapped %v: %d, %v, want %d", c, mapped, got, err, want)
			}
		}
		if got, err := search(procTCP(), addrPort(client.LocalAddr()), addrPort(client.RemoteAddr())); err != nil || got != want {
			t.Errorf("%+v: the lists have %d, %v, want %d", c, got, err, want)
		}
		if holds, err := Holds(os.Getpid(), want); err != nil || !holds {
			t.Errorf("%+v: this process holds it: %v, %v", c, holds, err)
		}
	}
}

func TestNoInodeOfAClosedSocket(t *testing.T) {
	client, server := connection(t, "127.0.0.1:0", "127.0.0.1")
	remote, local := addrPort(server.RemoteAddr()), addrPort(server.LocalAddr())
	if _, err := client.Write([]byte("and away")); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if inode, err := Inode(remote, local); !errors.Is(err, ErrNone) {
		t.Errorf("%d, %v", inode, err)
	}
	if inode, err := search(procTCP(), remote, local); inode != 0 || err != nil && !errors.Is(err, ErrNone) {
		t.Errorf("the lists have %d, %v", inode, err)
	}
	// A port that nobody has, and one that is listened on.
	if inode, err := Inode(netip.AddrPortFrom(remote.Addr(), 1), local); !errors.Is(err, ErrNone) {
		t.Errorf("%d, %v", inode, err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if inode, err := Inode(addrPort(ln.Addr()), local); !errors.Is(err, ErrNone) {
		t.Errorf("a listener: %d, %v", inode, err)
	}
}

func TestAnotherProcessHoldsItsSocket(t *testing.T) {
	client, _ := connection(t, "127.0.0.1:0", "127.0.0.1")
	inode := inodeOf(t, client)
	file, err := client.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command("sleep", "60")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _, _ = child.Process.Kill(), child.Wait() }()
	if holds, err := Holds(child.Process.Pid, inode); err != nil || !holds {
		t.Errorf("%v, %v", holds, err)
	}
	if holds, err := Holds(child.Process.Pid, inode+1); err != nil || holds {
		t.Errorf("another one: %v, %v", holds, err)
	}
	if pids := childrenOf(os.Getpid()); !strings.Contains(fmt.Sprint(pids), fmt.Sprint(child.Process.Pid)) {
		t.Errorf("children %v", pids)
	}
	// Its command line is another one.
	if pids := Successors(true); len(pids) != 0 {
		t.Errorf("successors %v", pids)
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{"": "", "0100007F": "", "zz:1": "", "0100007F:10000": "", "01:1": ""} {
		if a, err := parseAddress(text); err == nil {
			t.Errorf("%q is %v, want %q", text, a, want)
		}
	}
}

func BenchmarkInode(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for range b.N {
		if _, err := Inode(addrPort(client.LocalAddr()), addrPort(client.RemoteAddr())); err != nil {
			b.Fatal(err)
		}
	}
}
