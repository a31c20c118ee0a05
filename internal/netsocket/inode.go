package netsocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrNone says that no process of this network namespace has such a socket: it is closed,
// or the address that it sees is translated on the way.
var ErrNone = errors.New("no process has such a socket")

// Inode returns the inode number of the open TCP socket with these addresses in this network
// namespace: local is its own, remote that of its peer, whose socket the caller holds.
// IPv4 addresses may be mapped to IPv6. Where the kernel has sock_diag, the cost does not
// depend on the number of sockets.
func Inode(local, remote netip.AddrPort) (uint32, error) {
	local = netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port())
	remote = netip.AddrPortFrom(remote.Addr().Unmap().WithZone(""), remote.Port())
	inode, err := diagnose(local, remote)
	if errors.Is(err, errAbsent) {
		// It says so too where it cannot diagnose TCP: then it does not know the other end.
		if _, other := diagnose(remote, local); other == nil {
			err = ErrNone
		}
	}
	if err != nil && !errors.Is(err, ErrNone) {
		// A sandbox may forbid netlink, and gVisor does not have sock_diag.
		inode, err = search(procTCP(), local, remote)
	}
	if err == nil && inode == 0 {
		err = ErrNone // closed by its process; the kernel is still sending
	}
	if err != nil {
		return 0, fmt.Errorf("socket %v to %v: %w", local, remote, err)
	}
	return inode, nil
}

// Layouts of linux/inet_diag.h and linux/sock_diag.h:
//
//	inet_diag_req_v2  family u8, protocol u8, ext u8, pad u8, states u32, sockid
//	inet_diag_msg     family u8, state u8, timer u8, retrans u8, sockid,
//	                  expires u32, rqueue u32, wqueue u32, uid u32, inode u32
//	sockid            sport be16, dport be16, src [16], dst [16], if u32, cookie [8]
const (
	sockDiagByFamily = 20
	sockidLength     = 48
	requestLength    = unix.SizeofNlMsghdr + 8 + sockidLength
	answerLength     = unix.SizeofNlMsghdr + 4 + sockidLength + 20
)

// diagnoseTimeout is how long the kernel may take for an answer, in seconds.
const diagnoseTimeout = 1

// diagnose asks the kernel for one socket.
func diagnose(local, remote netip.AddrPort) (uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: diagnoseTimeout}); err != nil {
		return 0, err
	}
	request := appendRequest(nil, local, remote)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, err
	}
	return parseAnswer(answer[:n], request)
}

// appendRequest appends the question for the socket with these addresses.
func appendRequest(dst []byte, local, remote netip.AddrPort) []byte {
	order := binary.NativeEndian
	dst = order.AppendUint32(dst, requestLength)
	dst = order.AppendUint16(dst, sockDiagByFamily)
	dst = order.AppendUint16(dst, unix.NLM_F_REQUEST)
	dst = order.AppendUint32(dst, 1) // sequence
	dst = order.AppendUint32(dst, 0) // port: the kernel's
	family := byte(unix.AF_INET)
	if !local.Addr().Is4() {
		family = unix.AF_INET6
	}
	dst = append(dst, family, unix.IPPROTO_TCP, 0, 0)
	dst = order.AppendUint32(dst, ^uint32(0)) // any state
	dst = binary.BigEndian.AppendUint16(dst, local.Port())
	dst = binary.BigEndian.AppendUint16(dst, remote.Port())
	for _, a := range []netip.Addr{local.Addr(), remote.Addr()} {
		var words [16]byte
		copy(words[:], a.AsSlice())
		dst = append(dst, words[:]...)
	}
	dst = order.AppendUint32(dst, 0) // any interface
	return order.AppendUint64(dst, ^uint64(0))
}

// parseAnswer returns the inode in the answer to request.
func parseAnswer(answer, request []byte) (uint32, error) {
	order := binary.NativeEndian
	if len(answer) < unix.SizeofNlMsghdr+4 {
		return 0, fmt.Errorf("sock_diag answers %d bytes", len(answer))
	}
	if order.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		code := unix.Errno(-int32(order.Uint32(answer[unix.SizeofNlMsghdr:])))
		if errors.Is(code, unix.ENOENT) {
			return 0, errAbsent
		}
		return 0, fmt.Errorf("sock_diag: %w", code)
	}
	if order.Uint16(answer[4:]) != sockDiagByFamily || len(answer) < answerLength {
		return 0, fmt.Errorf("sock_diag answers %d bytes of type %d", len(answer), order.Uint16(answer[4:]))
	}
	// The kernel answers with the listener where there is no such connection.
	ports := answer[unix.SizeofNlMsghdr+4:]
	asked := request[unix.SizeofNlMsghdr+8:]
	if string(ports[:4]) != string(asked[:4]) || answer[unix.SizeofNlMsghdr+1] == tcpListen {
		return 0, ErrNone
	}
	return order.Uint32(answer[answerLength-4:]), nil
}

// tcpListen is the state of a listening socket, from linux/tcp_states.h.
const tcpListen = 10

// errAbsent is the kernel's answer where it knows no such socket, and also where it has
// no diagnosis for TCP.
var errAbsent = errors.New("sock_diag knows no such socket")
