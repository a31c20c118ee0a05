package test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand"
	"net"
	"sync"
	"testing"

	"mosn.io/tcpcopy/internal/loopback"
	"mosn.io/tcpcopy/internal/wiretap"
)

// The exchange protocol has random bytes in both directions: a client announces
// how many bytes it sends, how many it wants and the seed of those, and the
// server answers with them.
const announcement = 4 + 4 + 8 // request's length, answer's length, seed

const longestMessage = 1 << 20

// upstream serves connections with handle on a loopback port and returns the address.
func upstream(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loopback.Serve(listener, handle))
	return listener.Addr().String()
}

// echo answers with what it reads.
func echo(conn net.Conn) {
	_, _ = io.Copy(conn, conn) // ends with the connection, however that ends
}

// answerExchanges is the server of the exchange protocol.
func answerExchanges(conn net.Conn) {
	for {
		var head [announcement]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		request, answer, seed := decodeAnnouncement(head)
		if _, err := io.CopyN(io.Discard, conn, request); err != nil {
			return
		}
		if _, err := conn.Write(randomBytes(seed, answer)); err != nil {
			return
		}
	}
}

func decodeAnnouncement(head [announcement]byte) (request, answer, seed int64) {
	order := binary.BigEndian
	return int64(order.Uint32(head[0:])), int64(order.Uint32(head[4:])), int64(order.Uint64(head[8:]))
}

func encodeAnnouncement(request, answer, seed int64) []byte {
	head := make([]byte, 0, announcement)
	head = binary.BigEndian.AppendUint32(head, uint32(request))
	head = binary.BigEndian.AppendUint32(head, uint32(answer))
	return binary.BigEndian.AppendUint64(head, uint64(seed))
}

func randomBytes(seed, n int64) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// size draws a message's length so that short ones are as likely as long ones.
func size(random *rand.Rand) int64 {
	return int64(math.Exp(random.Float64() * math.Log(longestMessage)))
}

// exchange sends n messages over conn, the first one of the given length, and
// checks the answers.
func exchange(conn net.Conn, seed int64, first int64, n int) error {
	random := rand.New(rand.NewSource(seed))
	for i := range n {
		request, answer := size(random), size(random)
		if i == 0 {
			request, answer = first, first
		}
		answerSeed := random.Int63()
		message := append(encodeAnnouncement(request, answer, answerSeed), randomBytes(random.Int63(), request)...)
		if _, err := conn.Write(message); err != nil {
			return fmt.Errorf("message %d of %d bytes: %w", i, request, err)
		}
		got := make([]byte, answer)
		if _, err := io.ReadFull(conn, got); err != nil {
			return fmt.Errorf("answer %d of %d bytes: %w", i, answer, err)
		}
		if !bytes.Equal(got, randomBytes(answerSeed, answer)) {
			return fmt.Errorf("answer %d of %d bytes is not the server's", i, answer)
		}
	}
	return nil
}

// exchangeAll has exchanges on n connections at once and returns what passed
// through each. The shortest and the longest message are always among them.
func exchangeAll(t *testing.T, n, messages int, dial func() (net.Conn, error)) []*wiretap.Conn {
	t.Helper()
	taps := make([]*wiretap.Conn, n)
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Add(1)
		go func() { // ends with its messages or the first error
			defer running.Done()
			conn, err := dial()
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close()
			taps[i] = wiretap.New(conn)
			first := []int64{1, longestMessage, 64 << 10, 1000}[i%4]
			if err := exchange(taps[i], int64(i+1), first, messages); err != nil {
				errs[i] = fmt.Errorf("connection %d: %w", i, err)
			}
		}()
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return taps
}
