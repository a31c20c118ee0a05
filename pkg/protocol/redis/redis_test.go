package redis_test

import (
	"fmt"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/redis"
)

// cmd returns a command as clients send it.
func cmd(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// line returns what matters of a call, for comparing.
func line(c *call.Call) string {
	s := fmt.Sprintf("%s %q", c.Method, c.Target)
	if c.Response.Present {
		s += " " + c.Status
	}
	if c.Failed {
		s += " failed"
	}
	for _, word := range c.Incomplete.Words() {
		s += " " + word
	}
	return s
}

func lines(calls []call.Call) string {
	var b strings.Builder
	for i := range calls {
		b.WriteString(line(&calls[i]) + "\n")
	}
	return b.String()
}

// sessions are connections with what is to be found in them.
var sessions = []struct {
	name    string
	session parsetest.Session
	want    string
}{
	{"commands", parsetest.Talk(
		">"+cmd("SET", "k", "v")+cmd("get", "k"), "<+OK\r\n$1\r\nv\r\n",
		">"+cmd("GET", "none"), "<$-1\r\n",
		">"+cmd("LPUSH", "k", "x"), "<-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
		">"+cmd("LRANGE", "l", "0", "-1"), "<*3\r\n$1\r\na\r\n:5\r\n*2\r\n$-1\r\n*-1\r\n",
		">"+cmd("GET", "moved"), "<-MOVED 3999 127.0.0.1:6381\r\n",
		">"+cmd("GET", "asked"), "<-ASK 3999 127.0.0.1:6381\r\n",
		">"+cmd("PING"), "<+PONG\r\n",
		">"+cmd("config", "get", "maxmemory"), "<*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n",
		">"+cmd("MGET", "bin\x00\xff", "b"), "<*2\r\n$-1\r\n$-1\r\n",
		">"+cmd("KEYS", "*"), "<*0\r\n",
	), `SET "k" OK
GET "k" OK
GET "none" OK
LPUSH "k" WRONGTYPE failed
LRANGE "l" OK
GET "moved" MOVED
GET "asked" ASK
PING "" OK
CONFIG GET "" OK
MGET "bin\x00\xff" OK
KEYS "" OK
`},
	{"transaction", parsetest.Talk(
		">"+cmd("MULTI")+cmd("SET", "a", "1")+cmd("INCR", "l")+cmd("EXEC"), "<+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n-WRONGTYPE no\r\n",
		">"+cmd("WATCH", "w")+cmd("MULTI"), "<+OK\r\n+OK\r\n", ">"+cmd("EXEC"), "<*-1\r\n",
		">"+cmd("EXEC"), "<-EXECABORT Transaction discarded\r\n",
	), `MULTI "" OK
SET "a" OK
INCR "l" OK
EXEC "" WRONGTYPE failed
WATCH "w" OK
MULTI "" OK
EXEC "" OK
EXEC "" EXECABORT failed
`},
	{"RESP 3", parsetest.Talk(
		">"+cmd("HELLO", "3", "AUTH", "user", "secret", "SETNAME", "me"), "<%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n",
		">"+cmd("CLIENT", "TRACKING", "ON"), "<+OK\r\n",
		">"+cmd("GET", "k"), "<>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n_\r\n",
		">"+cmd("SMEMBERS", "s"), "<~2\r\n+a\r\n,3.25e-7\r\n",
		">"+cmd("EVAL", "return 1", "2", "k1", "k2", "x"), "<|1\r\n+ttl\r\n:3600\r\n#t\r\n",
		">"+cmd("INFO"), "<=7\r\ntxt:abc\r\n",
		">"+cmd("FOO", "x"), "<!21\r\nSYNTAX invalid syntax\r\n",
		">"+cmd("BIG", "x"), "<(3492890328409238509324850943850943825024385\r\n",
		">"+cmd("ST", "x"), "<$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
		">"+cmd("SA", "x")+cmd("SM", "y"), "<*?\r\n:1\r\n*?\r\n:2\r\n.\r\n~?\r\n.\r\n.\r\n%?\r\n+a\r\n:1\r\n.\r\n",
		">"+cmd("SUBSCRIBE", "c1", "c2"), "<>3\r\n$9\r\nsubscribe\r\n$2\r\nc1\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n$2\r\nc2\r\n:2\r\n",
		">"+cmd("GET", "k"), "<>3\r\n$7\r\nmessage\r\n$2\r\nc1\r\n$5\r\nhello\r\n$1\r\nv\r\n>4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$2\r\nc1\r\n$5\r\nhello\r\n",
	), `HELLO "" OK
CLIENT TRACKING "" OK
INVALIDATE "" OK no_request
GET "k" OK
SMEMBERS "s" OK
EVAL "k1" OK
INFO "" OK
FOO "x" SYNTAX failed
BIG "x" OK
ST "x" OK
SA "x" OK
SM "y" OK
SUBSCRIBE "c1" OK
MESSAGE "c1" OK no_request
GET "k" OK
PMESSAGE "c1" OK no_request
`},
	{"subscriber", parsetest.Talk(
		">"+cmd("LRANGE", "l", "0", "2"), "<*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n",
		">"+cmd("SUBSCRIBE", "a", "b", "a"), "<*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n",
		"<*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n",
		">"+cmd("PSUBSCRIBE", "p*"), "<*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:3\r\n*4\r\n$8\r\npmessage\r\n$2\r\np*\r\n$2\r\npx\r\n$2\r\nhi\r\n",
		">"+cmd("PING"), "<*2\r\n$4\r\npong\r\n$0\r\n\r\n",
		">"+cmd("UNSUBSCRIBE"), "<*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n",
		">"+cmd("PUNSUBSCRIBE", "p*"), "<*3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:0\r\n",
		">"+cmd("UNSUBSCRIBE"), "<*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
		">"+cmd("LRANGE", "l", "0", "2"), "<*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n",
		">"+cmd("QUIT"), "<+OK\r\n",
	), `LRANGE "l" OK
SUBSCRIBE "a" OK
MESSAGE "a" OK no_request
PSUBSCRIBE "p*" OK
PMESSAGE "px" OK no_request
PING "" OK
UNSUBSCRIBE "" OK
PUNSUBSCRIBE "p*" OK
UNSUBSCRIBE "" OK
LRANGE "l" OK
QUIT "" OK
`},
	{"without answers", parsetest.Talk(
		">"+cmd("CLIENT", "REPLY", "SKIP")+cmd("SET", "a", "1")+cmd("GET", "a"), "<$1\r\n1\r\n",
		">"+cmd("client", "reply", "off")+cmd("SET", "b", "1")+cmd("CLIENT", "REPLY", "SKIP")+cmd("SET", "b", "2"),
		">"+cmd("CLIENT", "REPLY", "ON"), "<+OK\r\n",
		">"+cmd("GET", "b"), "<$1\r\n2\r\n",
	), `CLIENT REPLY "" no_answer
SET "a" no_answer
GET "a" OK
CLIENT REPLY "" no_answer
SET "b" no_answer
CLIENT REPLY "" no_answer
SET "b" no_answer
CLIENT REPLY "" OK
GET "b" OK
`},
	{"monitor", parsetest.Talk(
		">"+cmd("MONITOR"), "<+OK\r\n", "<+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n",
		">"+cmd("PING"), "<+PONG\r\n+1339518087.877697 [0 127.0.0.1:60866] \"dbsize\"\r\n",
		">"+cmd("RESET"), "<+RESET\r\n",
	), `MONITOR "" OK
MONITOR "" OK no_request
PING "" OK
MONITOR "" OK no_request
RESET "" OK
`},
	{"inline", parsetest.Talk(
		">PING\r\n", "<+PONG\r\n", ">set k \"a \\x41\\n\"\n", "<+OK\r\n", ">\r\nGET k\r\n", "<$4\r\na A\n\r\n", ">"+cmd("GET", "k"), "<$4\r\na A\n\r\n",
	), `PING "" OK
SET "k" OK
GET "k" OK
GET "k" OK
`},
	{"no answers at the end", parsetest.Talk(
		">"+cmd("GET", "a"), "<$1\r\n1\r\n", ">"+cmd("BLPOP", "q", "0"), ">"+cmd("SHUTDOWN"),
	), `GET "a" OK
BLPOP "q" failed no_answer
SHUTDOWN "" no_answer
`},
	{"long values", parsetest.Talk(
		">"+cmd("SET", "big", strings.Repeat("v\r\n+OK\r\n", 2500)), "<+OK\r\n",
		">"+cmd("GET", "big"), "<$20000\r\n"+strings.Repeat("v\r\n+OK\r\n", 2500)+"\r\n",
		">"+cmd("ECHO", "x"), "<+"+strings.Repeat("long", 3000)+"\r\n",
		">"+cmd("EVAL", "x", "0"), "<-ERR "+strings.Repeat("long", 3000)+"\r\n",
	), `SET "big" OK
GET "big" OK
ECHO "" OK
EVAL "" ERR failed
`},
	{"refused", parsetest.Talk("<-ERR max number of clients reached\r\n"), "\"\""},
}

func init() {
	sessions[len(sessions)-1].want = " \"\" ERR failed no_request\n"
}

func TestSessions(t *testing.T) {
	for _, s := range sessions {
		t.Run(s.name, func(t *testing.T) {
			got, err := parsetest.Decode(&redis.Protocol, s.session, true)
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(got.Calls); got != s.want {
				t.Errorf("calls\n%swant\n%s", got, s.want)
			}
		})
	}
}

// What all parsers must satisfy.
func TestProperties(t *testing.T) {
	for _, s := range sessions {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			parsetest.Check(t, &redis.Protocol, s.session)
		})
	}
}

func TestHostile(t *testing.T) {
	var seeds []parsetest.Session
	for _, s := range sessions {
		if s.name != "long values" {
			seeds = append(seeds, s.session)
		}
	}
	parsetest.Hostile(t, &redis.Protocol, seeds...)
}
