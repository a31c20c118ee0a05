package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// serveEcho sends back what it reads on each connection until ln is closed.
func serveEcho(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			buf := make([]byte, 256<<10)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					return
				}
				if _, err := conn.Write(buf[:n]); err != nil {
					return
				}
			}
		}()
	}
}

// load is a closed loop: each connection sends a message, waits for all of it to
// come back, and sends the next.
type load struct {
	address     string
	connections int
	size        int // bytes of a message
	warmup      time.Duration
	length      time.Duration
	passed      *atomic.Int64 // counts the bytes of both directions, warm-up included; nil where nobody asks
}

// result is what a load has seen after its warm-up.
type result struct {
	requests  int
	elapsed   time.Duration
	latencies []time.Duration // sorted; a sample of at most maxLatencies a connection
}

const maxLatencies = 1 << 16

func (r *result) rate() float64 { return float64(r.requests) / r.elapsed.Seconds() }

// percentile returns the latency that the share p of the requests stay below.
func (r *result) percentile(p float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(len(r.latencies)-1, int(p*float64(len(r.latencies))))]
}

// run applies the load. measuring is called when the warm-up is over.
func (l load) run(ctx context.Context, measuring func()) (*result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.warmup+l.length+30*time.Second)
	defer cancel()
	begin := time.Now().Add(l.warmup)
	end := begin.Add(l.length)
	var (
		mu   sync.Mutex
		sum  result
		errs []error
		wg   sync.WaitGroup
	)
	for i := range l.connections {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r, err := l.exchange(ctx, i, begin, end)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			sum.requests += r.requests
			sum.latencies = append(sum.latencies, r.latencies...)
		}()
	}
	<-time.After(time.Until(begin))
	measuring()
	wg.Wait()
	sum.elapsed = time.Since(begin)
	slices.Sort(sum.latencies)
	return &sum, errors.Join(errs...)
}

// exchange is one connection's loop.
func (l load) exchange(ctx context.Context, number int, begin, end time.Time) (*result, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	message, answer := make([]byte, l.size), make([]byte, l.size)
	for i := range message {
		message[i] = byte(i*7 + number)
	}
	r := &result{}
	for count := uint64(0); ; count++ {
		sent := time.Now()
		if sent.After(end) {
			return r, nil
		}
		if l.size >= 8 {
			binary.LittleEndian.PutUint64(message, count)
		}
		// A message that is larger than the sockets' buffers would wait for an
		// answer that nobody reads: writing and reading go side by side then.
		var wrote chan error
		if l.size > 64<<10 {
			wrote = make(chan error, 1)
			go func() {
				_, err := conn.Write(message)
				wrote <- err
			}()
		} else if _, err := conn.Write(message); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return nil, fmt.Errorf("answer %d of connection %d: %w", count, number, err)
		}
		if wrote != nil {
			if err := <-wrote; err != nil {
				return nil, err
			}
		}
		if l.passed != nil {
			l.passed.Add(2 * int64(l.size))
		}
		if sent.Before(begin) {
			continue
		}
		if l.size >= 8 && binary.LittleEndian.Uint64(answer) != count {
			return nil, fmt.Errorf("answer %d of connection %d is another one's", count, number)
		}
		r.requests++
		if len(r.latencies) < maxLatencies {
			r.latencies = append(r.latencies, time.Since(sent))
		}
	}
}
