package test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mosn.io/tcpcopy/internal/wiretap"
)

// visitors are clients that send messages to servers that send them back, each on
// one connection after the other, and count what goes wrong. They go on until
// leave.
type visitors struct {
	t       *testing.T
	ctx     context.Context // ends with leave
	leaving context.CancelFunc
	running sync.WaitGroup
	dialled atomic.Uint32 // connections

	mu     sync.Mutex // guards the rest
	visits []*visit
	faults map[string]int // by kind
	good   int            // messages that came back as they were
}

// visit is one connection.
type visit struct {
	*wiretap.Conn
	began, ended time.Time
	asked        time.Time // when the last message was on its way
	broken       bool      // it ended otherwise than the client wanted
}

func newVisitors(t *testing.T) *visitors {
	v := &visitors{t: t, faults: map[string]int{}}
	v.ctx, v.leaving = context.WithCancel(context.Background())
	t.Cleanup(func() { v.leave() })
	return v
}

// leave has all clients end after the message that they wait for, and waits until
// they have.
func (v *visitors) leave() {
	v.leaving()
	v.running.Wait()
}

// manner is how a client talks.
type manner struct {
	kind    string // for the names of its faults
	address string
	pace    time.Duration // from one message to the next
	most    int           // messages of one connection, 0 means no limit
	// send sends a message and reads the answer. stay is false when the server
	// wants the connection closed.
	send func(conn net.Conn, answers *bufio.Reader, message []byte) (stay bool, err error)
}

// visit starts n clients.
func (v *visitors) visit(n int, how manner) {
	for i := range n {
		random := rand.New(rand.NewSource(int64(i + 1)))
		v.running.Add(1)
		go func() { // ends with leave
			defer v.running.Done()
			tick := time.NewTicker(how.pace)
			defer tick.Stop()
			for v.ctx.Err() == nil {
				if err := v.connect(how, random, tick.C); err != nil {
					v.countFault(how.kind+": "+faultKind(err), err)
					<-tick.C
				}
			}
		}()
	}
}

// connect talks over one connection.
func (v *visitors) connect(how manner, random *rand.Rand, tick <-chan time.Time) error {
	conn, err := v.dial(how.address)
	if err != nil {
		return err
	}
	tap := &visit{Conn: wiretap.New(conn), began: time.Now()}
	defer func() {
		conn.Close()
		v.mu.Lock()
		tap.ended = time.Now()
		v.mu.Unlock()
	}()
	v.mu.Lock()
	v.visits = append(v.visits, tap)
	v.mu.Unlock()
	answers := bufio.NewReader(tap)
	for n := 0; v.ctx.Err() == nil && (how.most == 0 || n < how.most); n++ {
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		v.mu.Lock()
		tap.asked = time.Now()
		v.mu.Unlock()
		stay, err := how.send(tap, answers, randomBytes(random.Int63(), 1+random.Int63n(2000)))
		v.mu.Lock()
		tap.broken = err != nil
		if err == nil {
			v.good++
		}
		v.mu.Unlock()
		if err != nil || !stay {
			return err
		}
		<-tick
	}
	return nil
}

// dial connects from a loopback address that no other connection has: ports come
// again within a minute.
func (v *visitors) dial(address string) (net.Conn, error) {
	n := v.dialled.Add(1)
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n))}}
	return from.Dial("tcp", address)
}

func (v *visitors) countFault(kind string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.faults[kind]++; v.faults[kind] == 1 {
		v.t.Logf("%s: %s: %v", time.Now().Format(time.StampMilli), kind, err)
	}
}

// messages returns how many messages have come back.
func (v *visitors) messages() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.good
}

// faultKind names what an error means to a client.
func faultKind(err error) string {
	for _, k := range []struct {
		err  error
		kind string
	}{
		{syscall.ECONNREFUSED, "refused"},
		{syscall.ECONNRESET, "broken off"},
		{syscall.EPIPE, "broken off"},
		{io.EOF, "broken off"},
		{io.ErrUnexpectedEOF, "broken off"},
		{os.ErrDeadlineExceeded, "no answer"},
		{errWrongAnswer, "wrong answer"},
	} {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	return err.Error()
}

var errWrongAnswer = errors.New("wrong answer")

// sendEcho talks to echo.
func sendEcho(conn net.Conn, answers *bufio.Reader, message []byte) (stay bool, err error) {
	if _, err := conn.Write(message); err != nil {
		return false, err
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(answers, got); err != nil {
		return false, err
	}
	if !bytes.Equal(got, message) {
		return false, errWrongAnswer
	}
	return true, nil
}

// sendHTTP talks to httpUpstream. It sends a request once only, as an
// http.Transport does not always.
func sendHTTP(conn net.Conn, answers *bufio.Reader, message []byte) (stay bool, err error) {
	request := fmt.Appendf(nil, "POST /echo HTTP/1.1\r\nHost: upgrade\r\nContent-Length: %d\r\n\r\n%s", len(message), message)
	if _, err := conn.Write(request); err != nil {
		return false, err
	}
	response, err := http.ReadResponse(answers, nil)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return false, err
	}
	if response.StatusCode != http.StatusOK || !bytes.Equal(got, message) {
		return false, fmt.Errorf("%w: status %d", errWrongAnswer, response.StatusCode)
	}
	return !response.Close, nil
}
