package mix

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

// command returns a command as a client sends it.
func command(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

// replyLength returns the length of the first reply in b, 0 if it is not whole.
func replyLength(b []byte) int {
	end := strings.Index(string(b[:min(len(b), 1<<16)]), "\r\n")
	if end < 0 {
		return 0
	}
	n, _ := strconv.Atoi(string(b[1:end]))
	at := end + 2
	switch b[0] {
	case '$', '=', '!':
		if n < 0 {
			return at
		}
		if len(b) < at+n+2 {
			return 0
		}
		return at + n + 2
	case '%', '|':
		n *= 2
	case '*', '~', '>':
	default:
		return at
	}
	if b[0] == '|' {
		n++ // the attribute is in front of its value
	}
	for range max(n, 0) {
		one := replyLength(b[at:])
		if one == 0 {
			return 0
		}
		at += one
	}
	return at
}

// redisStatus returns the status of a reply.
func redisStatus(reply []byte) (status string, failed bool) {
	rest := string(reply)
	for len(rest) > 0 && rest[0] == '|' {
		rest = rest[replyLength([]byte(rest)):]
	}
	switch {
	case strings.HasPrefix(rest, "-"):
		status, _, _ = strings.Cut(strings.TrimSpace(rest[1:]), " ")
	case strings.HasPrefix(rest, "!"):
		_, rest, _ = strings.Cut(rest, "\r\n")
		status, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
	default:
		return "OK", false
	}
	return status, status != "MOVED" && status != "ASK"
}

// redisCalls notes the commands of a connection, whose target is at index keyAt of their
// words, from its bytes. Every command has one reply, in order; pushes are calls of their
// own.
func (r *run) redisCalls(conn *witness.Conn) {
	in, out := conn.Link.Bytes(record.In), conn.Link.Bytes(record.Out)
	var calls []witness.Call
	for at := 0; at < len(in); {
		n := replyLength(in[at:])
		if n == 0 {
			break
		}
		words := strings.Split(string(in[at:at+n]), "\r\n")
		c := witness.Call{Protocol: "redis", Method: redisMethod(words), Request: &witness.Range{Offset: uint64(at), Length: uint64(n)}, NoAnswer: true}
		if len(words) > 4 {
			c.Target = redisKey(words)
		}
		calls = append(calls, c)
		at += n
	}
	next := 0
	for at := 0; at < len(out); {
		n := replyLength(out[at:])
		if n == 0 {
			break
		}
		where := &witness.Range{Offset: uint64(at), Length: uint64(n)}
		if out[at] == '>' {
			calls = append(calls, witness.Call{Protocol: "redis", Status: "OK", NoRequest: true, Response: where})
		} else if next < len(calls) {
			calls[next].Status, calls[next].Failed = redisStatus(out[at : at+n])
			calls[next].NoAnswer, calls[next].Response = false, where
			next++
		}
		at += n
	}
	for _, c := range calls {
		r.note(conn, c)
	}
}

// redisMethod returns the name of a command, with that of its subcommand if it has one.
func redisMethod(words []string) string {
	name := strings.ToUpper(words[2])
	if slices.Contains([]string{"CLIENT", "CONFIG", "OBJECT", "XGROUP", "XINFO", "MEMORY", "COMMAND", "SCRIPT"}, name) && len(words) > 4 {
		name += " " + strings.ToUpper(words[4])
	}
	return name
}

// redisKey returns the first key of a command, whose lines words are.
func redisKey(words []string) string {
	switch strings.ToUpper(words[2]) {
	case "HELLO", "CLIENT", "PING", "AUTH", "SELECT", "MULTI", "EXEC", "INFO", "CONFIG", "COMMAND", "ECHO", "FLUSHALL", "FLUSHDB", "SCAN":
		return ""
	case "EVAL", "EVALSHA":
		if words[6] == "0" {
			return ""
		}
		return words[8]
	case "XREAD", "XREADGROUP":
		for i := 4; i < len(words)-2; i += 2 {
			if strings.EqualFold(words[i], "streams") {
				return words[i+2]
			}
		}
	case "OBJECT", "XGROUP", "XINFO", "MEMORY":
		return words[6]
	}
	return words[4]
}

// goRedis returns a client with one connection.
func (r *run) goRedis(protocol int) (client *redis.Client, conn func() *witness.Conn) {
	var used *witness.Conn
	client = redis.NewClient(&redis.Options{
		Addr: "path:1", Protocol: protocol, PoolSize: 1, MaxRetries: -1,
		ReadTimeout: 20 * time.Second, WriteTimeout: 20 * time.Second,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := r.path.Dial(ctx)
			used = c
			return c, err
		},
	})
	return client, func() *witness.Conn { return used }
}

func redisScenarios() []scenario {
	return []scenario{
		{"redis", "resp2-commands", func(r *run) { redisCommands(r, 2) }},
		{"redis", "resp3-commands", func(r *run) { redisCommands(r, 3) }},
		{"redis", "pipeline", redisPipeline},
		{"redis", "errors", redisErrors},
		{"redis", "transaction", redisTransaction},
		{"redis", "big-values", redisBig},
		{"redis", "inline", redisInline},
		{"redis", "blocking", redisBlocking},
		{"redis", "pubsub2", func(r *run) { redisPubSub(r, 2) }},
		{"redis", "pubsub3", func(r *run) { redisPubSub(r, 3) }},
	}
}

func redisCommands(r *run, protocol int) {
	client, conn := r.goRedis(protocol)
	ctx := r.ctx
	for i := range 20 {
		key := fmt.Sprintf("key:%d", i)
		r.check(client.Set(ctx, key, fmt.Sprintf("value %d\r\nwith a line end", i), time.Hour).Err())
		r.check(client.Get(ctx, key).Err())
		if err := client.Get(ctx, "none").Err(); !errors.Is(err, redis.Nil) {
			r.Fatal(err)
		}
		r.check(client.HSet(ctx, "h"+key, "a", 1, "b", 2).Err())
		r.check(client.HGetAll(ctx, "h"+key).Err())
		r.check(client.SAdd(ctx, "s"+key, "x", "y", "z").Err())
		r.check(client.SMembers(ctx, "s"+key).Err())
		r.check(client.ZAdd(ctx, "z"+key, redis.Z{Score: 1.5, Member: "m"}).Err())
		r.check(client.ZRangeWithScores(ctx, "z"+key, 0, -1).Err())
		r.check(client.Incr(ctx, "counter").Err())
		r.check(client.MGet(ctx, key, "none", key).Err())
		r.check(client.Exists(ctx, key).Err())
		r.check(client.Del(ctx, key, "h"+key, "s"+key, "z"+key).Err())
	}
	r.check(client.Close())
	r.redisCalls(conn())
}

func redisPipeline(r *run) {
	conn := r.dial()
	var request, answer strings.Builder
	for i := range 100 {
		key := fmt.Sprintf("p%d", i)
		request.WriteString(command("SET", key, strings.Repeat("v", i*7)) + command("GET", key) + command("LPUSH", key, "x") + command("DEL", key))
		answer.WriteString("+OK\r\n" + fmt.Sprintf("$%d\r\n%s\r\n", i*7, strings.Repeat("v", i*7)) +
			"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n" + ":1\r\n")
	}
	r.exchange(conn, request.String(), answer.String())
	conn.Close()
	r.redisCalls(conn)
}

func redisErrors(r *run) {
	client, conn := r.goRedis(3)
	for range 5 {
		for _, words := range [][]any{{"nosuchcommand", "a"}, {"set", "onlykey"}, {"lpush", "str", "x"}, {"incr", "str"}, {"evalsha", "ffffffffffffffffffffffffffffffffffffffff", 0}} {
			r.check(client.Set(r.ctx, "str", "text", 0).Err())
			if err := client.Do(r.ctx, words...).Err(); err == nil {
				r.Fatalf("%q succeeded", words)
			}
		}
	}
	r.check(client.Close())
	r.redisCalls(conn())
}

func redisTransaction(r *run) {
	client, conn := r.goRedis(2)
	for i := range 10 {
		_, err := client.TxPipelined(r.ctx, func(p redis.Pipeliner) error {
			p.Set(r.ctx, "tx", i, 0)
			p.Incr(r.ctx, "tx")
			p.Get(r.ctx, "tx")
			return nil
		})
		r.check(err)
		_, err = client.Pipelined(r.ctx, func(p redis.Pipeliner) error {
			p.Get(r.ctx, "tx")
			p.Del(r.ctx, "tx")
			return nil
		})
		r.check(err)
	}
	r.check(client.Close())
	r.redisCalls(conn())
}

func redisBig(r *run) {
	client, conn := r.goRedis(3)
	for i, size := range []int{0, 1, 4095, 64 << 10, 1 << 20, 3 << 20} {
		key := fmt.Sprint("big", i)
		r.check(client.Set(r.ctx, key, strings.Repeat("\r\n*1$", size/5+1), 0).Err())
		r.check(client.Get(r.ctx, key).Err())
		r.check(client.Del(r.ctx, key).Err())
	}
	r.check(client.Close())
	r.redisCalls(conn())
}

// redisInline sends commands as a person at telnet does.
func redisInline(r *run) {
	conn := r.dial()
	for i, c := range []struct{ line, method, target, answer, status string }{
		{"PING\r\n", "PING", "", "+PONG\r\n", "OK"},
		{"set inl 5\r\n", "SET", "inl", "+OK\r\n", "OK"},
		{"GET inl\r\n", "GET", "inl", "$1\r\n5\r\n", "OK"},
		{"get \"inl\"\r\n", "GET", "inl", "$1\r\n5\r\n", "OK"},
		{"DEL inl\n", "DEL", "inl", ":1\r\n", "OK"},
	} {
		if r.on.double { // it does not know this
			c.line = command(strings.Fields(strings.ReplaceAll(c.line, `"`, ""))...)
		}
		if i == 2 && !r.on.double {
			r.write(conn, "\r\n") // an empty line belongs to no command
		}
		r.do(conn, witness.Call{Protocol: "redis", Method: c.method, Target: c.target}, func() (string, bool) {
			r.exchange(conn, c.line, c.answer)
			return c.status, false
		})
	}
	conn.Close()
}

func redisBlocking(r *run) {
	client, conn := r.goRedis(2)
	other, otherConn := r.goRedis(2)
	r.check(client.Ping(r.ctx).Err()) // it is connected
	done := make(chan error, 1)
	go func() { done <- client.BLPop(r.ctx, 10*time.Second, "queue").Err() }()
	eventually(r, "the client waits", func() bool {
		c := conn()
		return c != nil && strings.Contains(string(c.Link.Bytes(record.In)), "queue")
	})
	r.check(other.RPush(r.ctx, "queue", "item").Err())
	r.check(<-done)
	if err := client.BLPop(r.ctx, time.Second, "queue").Err(); !errors.Is(err, redis.Nil) {
		r.Fatal(err)
	}
	r.check(client.Close())
	r.check(other.Close())
	r.redisCalls(conn())
	r.redisCalls(otherConn())
}

// redisPubSub subscribes and publishes. Each subscription is a command with one answer, a
// push in RESP 3; the messages are calls without a request.
func redisPubSub(r *run, protocol int) {
	conn, other := r.dial(), r.dial()
	kind := "*"
	call := func(c *witness.Conn, request, answer string, words ...string) {
		r.Helper()
		note := witness.Call{Protocol: "redis", Method: words[0]}
		if len(words) > 1 {
			note.Target = words[1]
		}
		r.do(c, note, func() (string, bool) { r.exchange(c, request, answer); return "OK", false })
	}
	if protocol == 3 {
		kind = ">"
		before := conn.Mark()
		r.write(conn, command("HELLO", "3"))
		got := []byte{}
		for replyLength(got) == 0 {
			b := make([]byte, 1)
			_, err := conn.Read(b)
			r.check(err)
			got = append(got, b...)
		}
		request, response := between(before, conn.Mark())
		r.note(conn, witness.Call{Protocol: "redis", Method: "HELLO", Status: "OK", Request: request, Response: response})
	}
	call(conn, command("SUBSCRIBE", "news"), kind+"3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n", "SUBSCRIBE", "news")
	call(conn, command("PSUBSCRIBE", "w*"), kind+"3\r\n$10\r\npsubscribe\r\n$2\r\nw*\r\n:2\r\n", "PSUBSCRIBE", "w*")
	message := func(method, channel, answer string) {
		r.Helper()
		before := conn.Mark()
		r.expect(conn, answer)
		_, response := between(before, conn.Mark())
		r.note(conn, witness.Call{Protocol: "redis", Method: method, Target: channel, Status: "OK", NoRequest: true, Response: response})
	}
	for i := range 5 {
		text := fmt.Sprintf("story %d", i)
		call(other, command("PUBLISH", "news", text), ":1\r\n", "PUBLISH", "news")
		message("MESSAGE", "news", kind+"3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n"+fmt.Sprintf("$%d\r\n%s\r\n", len(text), text))
		call(other, command("PUBLISH", "weather", text), ":1\r\n", "PUBLISH", "weather")
		message("PMESSAGE", "weather", kind+"4\r\n$8\r\npmessage\r\n$2\r\nw*\r\n$7\r\nweather\r\n"+fmt.Sprintf("$%d\r\n%s\r\n", len(text), text))
	}
	if protocol == 3 { // other commands are allowed beside subscriptions
		if !r.on.double { // it does not know this
			call(conn, command("SET", "beside", "1"), "+OK\r\n", "SET", "beside")
		}
	} else {
		call(conn, command("PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING")
	}
	call(conn, command("UNSUBSCRIBE", "news"), kind+"3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:1\r\n", "UNSUBSCRIBE", "news")
	conn.Close()
	other.Close()
}
