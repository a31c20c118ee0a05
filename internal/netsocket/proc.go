package netsocket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// procTCP are the kernel's lists of this network namespace's TCP sockets.
func procTCP() []string { return []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} }

// search looks for a socket in the kernel's lists. It costs as much as they are long.
func search(lists []string, local, remote netip.AddrPort) (uint32, error) {
	found := false
	for _, list := range lists {
		inode, err := searchList(list, local, remote)
		switch {
		case err == nil:
			return inode, nil
		case errors.Is(err, ErrNone):
			found = true
		case !errors.Is(err, fs.ErrNotExist): // there may be no IPv6
			return 0, err
		}
	}
	if !found {
		return 0, errors.New("the kernel has no list of sockets in /proc")
	}
	return 0, ErrNone
}

// searchList looks for a socket in one list, whose lines are
//
//	sl local_address remote_address st tx_queue:rx_queue tr:when retransmits uid timeout inode …
func searchList(path string, local, remote netip.AddrPort) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] == "0A" { // listening
			continue
		}
		if a, err := parseAddress(fields[1]); err != nil || a != local {
			continue
		}
		if a, err := parseAddress(fields[2]); err != nil || a != remote {
			continue
		}
		inode, err := strconv.ParseUint(fields[9], 10, 32)
		return uint32(inode), err
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, ErrNone
}

// parseAddress parses an address as the kernel's lists have it: words of 32 bits in the
// machine's order, a colon and the port, all in hexadecimal digits.
func parseAddress(text string) (netip.AddrPort, error) {
	address, port, ok := strings.Cut(text, ":")
	words, err := hex.DecodeString(address)
	if err != nil || !ok || len(words) != 4 && len(words) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", text)
	}
	for i := 0; i < len(words); i += 4 {
		binary.BigEndian.PutUint32(words[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	a, _ := netip.AddrFromSlice(words)
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), err
}

// namesAtOnce is how many names of a directory are read at a time.
const namesAtOnce = 1024

// Holds reports whether the process with that number has a descriptor of the socket. It
// costs as much as the process has descriptors, about a microsecond for each. The
// process must be this one, or one of the same user.
func Holds(pid int, inode uint32) (bool, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return false, err
	}
	defer dir.Close()
	want := fmt.Sprintf("socket:[%d]", inode)
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		for _, name := range names {
			// A link that is gone is a descriptor that has been closed meanwhile.
			if target, _ := os.Readlink(dir.Name() + "/" + name); target == want {
				return true, nil
			}
		}
		if len(names) == 0 {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
	}
}

// Successors returns the numbers of the processes that were started with the same command
// line as this one and are its parent or, if children is true, its children: those that a
// proxy which starts its own successor has for a while. With children it costs as much as there
// are processes.
func Successors(children bool) (pids []int) {
	own := os.Getpid()
	command := commandLine(own)
	if command == "" {
		return nil
	}
	candidates := []int{os.Getppid()}
	if children {
		candidates = append(candidates, childrenOf(own)...)
	}
	for _, pid := range candidates {
		if pid > 0 && commandLine(pid) == command {
			pids = append(pids, pid)
		}
	}
	return pids
}

// commandLine returns what a process was started with, "" when that cannot be read.
func commandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return string(text)
}

// childrenOf returns the numbers of a process's children.
func childrenOf(parent int) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent …, and the name may have anything in it
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}
