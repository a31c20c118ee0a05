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
	return strings.Join(append([]string{s}, c.Incomplete.Words()...), " ")
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
	{"odd transactions", parsetest.Talk(
		">"+cmd("MULTI")+cmd("SUBSCRIBE", "a", "b")+cmd("CLIENT", "REPLY", "OFF")+cmd("DISCARD"), "<+OK\r\n+QUEUED\r\n+QUEUED\r\n+OK\r\n",
		">"+cmd("MULTI")+cmd("SUBSCRIBE", "a", "b"), "<+OK\r\n+QUEUED\r\n",
		">"+cmd("EXEC"), "<*1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
		">"+cmd("CLIENT", "REPLY", "OFF", "x"), "<-ERR wrong number of arguments for 'client|reply' command\r\n",
		">"+cmd("PING"), "<*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n",
	), `MULTI "" OK
SUBSCRIBE "a" OK
CLIENT REPLY "" OK
DISCARD "" OK
MULTI "" OK
SUBSCRIBE "a" OK
EXEC "" OK
SUBSCRIBE "b" OK no_request
CLIENT REPLY "" ERR failed
MESSAGE "a" OK no_request
PING "" OK
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

// Where each command has its key.
func TestTargets(t *testing.T) {
	for _, test := range []struct{ command, method, target string }{
		{"mset a 1 b 2", "MSET", "a"},
		{"EVAL script 2 k1 k2 arg", "EVAL", "k1"},
		{"EVALSHA 3f4 0 arg", "EVALSHA", ""},
		{"fcall f 1 k", "FCALL", "k"},
		{"XREAD COUNT 2 BLOCK 0 STREAMS s1 s2 0 0", "XREAD", "s1"},
		{"xreadgroup GROUP streams me count 1 noack streams s1 >", "XREADGROUP", "s1"},
		{"OBJECT ENCODING k", "OBJECT ENCODING", "k"},
		{"object help", "OBJECT HELP", ""},
		{"BITOP AND d a b", "BITOP", "d"},
		{"ZUNION 2 a b", "ZUNION", "a"},
		{"ZUNIONSTORE d 2 a b", "ZUNIONSTORE", "d"},
		{"BLMPOP 0 2 l1 l2 LEFT", "BLMPOP", "l1"},
		{"LMPOP 1 l LEFT", "LMPOP", "l"},
		{"MIGRATE h 6379 k 0 100 COPY AUTH secret", "MIGRATE", "k"},
		{"XINFO STREAM s", "XINFO STREAM", "s"},
		{"XGROUP CREATE s g $", "XGROUP CREATE", "s"},
		{"MEMORY USAGE k", "MEMORY USAGE", "k"},
		{"MEMORY DOCTOR", "MEMORY DOCTOR", ""},
		{"CLIENT LIST", "CLIENT LIST", ""},
		{"CONFIG GET maxmemory", "CONFIG GET", ""},
		{"COMMAND", "COMMAND", ""},
		{"SORT l BY w_* GET # STORE d", "SORT", "l"},
		{"SCAN 0 MATCH a*", "SCAN", ""},
		{"PUBLISH news hello", "PUBLISH", "news"},
		{"JSON.GET doc $.a", "JSON.GET", "doc"},
		{"SELECT 3", "SELECT", ""},
		{"AUTH user pass", "AUTH", ""},
		{"FOO", "FOO", ""},
	} {
		got, err := parsetest.Decode(&redis.Protocol, parsetest.Talk(">"+cmd(strings.Fields(test.command)...)), true)
		if err != nil || len(got.Calls) != 1 || got.Calls[0].Method != test.method || got.Calls[0].Target != test.target {
			t.Errorf("%s: %v, calls\n%s", test.command, err, lines(got.Calls))
		}
	}
	got, err := parsetest.Decode(&redis.Protocol, parsetest.Talk(">"+cmd("MIGRATE", "h", "6379", "", "0", "100", "KEYS", "k1", "k2")), true)
	if err != nil || got.Calls[0].Target != "k1" {
		t.Errorf("%v, %s", err, lines(got.Calls))
	}
}

// The values of a command, and which of them are credentials.
func TestSpans(t *testing.T) {
	text := func(s parsetest.Session) string {
		got, err := parsetest.Decode(&redis.Protocol, s, true)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, s := range got.Spans {
			fmt.Fprintf(&b, "%d %s %s@%d ", s.Call, s.Kind, s.Value, s.Offset)
		}
		return b.String()
	}
	for _, test := range []struct {
		session parsetest.Session
		want    string
	}{
		{parsetest.Talk(">" + cmd("AUTH", "pw")), "1 method AUTH@8 1 password pw@18 "},
		{parsetest.Talk(">" + cmd("auth", "me", "pw")), "1 method auth@8 1 argument me@18 1 password pw@26 "},
		{
			parsetest.Talk(">" + cmd("HELLO", "3", "AUTH", "me", "pw", "SETNAME", "AUTH")),
			"1 method HELLO@8 1 argument 3@19 1 argument AUTH@26 1 argument me@36 1 password pw@44 1 argument SETNAME@52 1 argument AUTH@65 ",
		},
		{parsetest.Talk(">" + cmd("CONFIG", "SET", "requirepass", "pw")), "1 method CONFIG@8 1 method SET@20 1 argument requirepass@30 1 password pw@47 "},
		{parsetest.Talk(">" + cmd("ACL", "SETUSER", "u", "on", ">pw", "~k")), "1 method ACL@8 1 method SETUSER@17 1 argument u@30 1 argument on@37 1 password >pw@45 1 argument ~k@54 "},
		{parsetest.Talk(">SET k \"a b\"\r\n"), "1 method SET@0 1 target k@4 1 argument a b@7 "},
		{parsetest.Talk(">"+cmd("GET", "k"), "<$2\r\nvv\r\n"), "1 method GET@8 1 target k@17 1 body vv@4 "},
		{parsetest.Talk(">"+cmd("GET", "k"), "<-ERR no\r\n"), "1 method GET@8 1 target k@17 1 status ERR no@1 "},
	} {
		if got := text(test.session); got != test.want {
			t.Errorf("spans\n%s\nwant\n%s", got, test.want)
		}
	}
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
