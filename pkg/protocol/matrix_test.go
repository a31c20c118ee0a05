package protocol_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// A connection is never thought to speak another protocol than it does, wherever its
// recording begins and however its bytes are cut. What is not known is tcp.
func TestNoProtocolIsMistaken(t *testing.T) {
	for name, s := range sessions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spoken, _, _ := strings.Cut(name, ":")
			if s.protocols != nil {
				spoken = s.protocols[0]
			}
			allowed := append([]string{spoken, call.TCP}, s.protocols...)
			check := func(how string, feeds parsetest.Session, base [2]uint64) {
				t.Helper()
				for protocol, calls := range protocolsOf(feeds, base) {
					if !slices.Contains(allowed, protocol) {
						t.Errorf("%s: %d calls of %s", how, calls, protocol)
					}
				}
			}
			if spoken == call.GRPC {
				allowed = append(allowed, call.HTTP2) // where the fields that say it were not recorded
			}
			whole := protocolsOf(s.session, [2]uint64{})
			if encrypted := name == "postgresql: gss"; whole[spoken] == 0 && !encrypted {
				t.Errorf("no call of %s: %v", spoken, whole)
			}
			check("whole", s.session, [2]uint64{})
			for most := 1; most <= 20; most++ { // the first piece is short
				check(fmt.Sprintf("first %d bytes", most), firstCut(s.session, most), [2]uint64{})
			}
			for from := 1; from < len(s.session); from += 1 + len(s.session)/40 {
				base := before(s.session[:from])
				check(fmt.Sprintf("from piece %d on", from), s.session[from:], base)
				for _, dir := range record.Directions() { // only one direction is recorded
					check(fmt.Sprintf("from piece %d on, only %s", from, dir), only(s.session[from:], dir), base)
				}
				if len(s.session[from].Data) > 1 {
					inside := slices.Clone(s.session[from:])
					n := 1 + (from*7919)%(len(inside[0].Data)-1)
					base := base
					base[inside[0].Dir] += uint64(n)
					inside[0].Data = inside[0].Data[n:]
					check(fmt.Sprintf("from byte %d of piece %d on", n, from), inside, base)
				}
			}
			for _, dir := range record.Directions() {
				check("only "+dir.String(), only(s.session, dir), [2]uint64{})
			}
		})
	}
}

// protocolsOf returns how many calls of each protocol there are.
func protocolsOf(s parsetest.Session, next [2]uint64) map[string]int {
	r := &parsetest.Recorder{}
	d := protocol.New(r, protocol.Limits{})
	d.Open(record.PerDirection{In: next[record.In], Out: next[record.Out]})
	for _, p := range s {
		d.Data(p.Dir, next[p.Dir], p.At, p.Data)
		next[p.Dir] += uint64(len(p.Data))
	}
	d.Close(parsetest.Start, record.CloseRemote, record.PerDirection{In: next[record.In], Out: next[record.Out]})
	d.End(parsetest.Start)
	n := map[string]int{}
	for i := range r.Calls {
		n[r.Calls[i].Protocol]++
	}
	return n
}

func before(s parsetest.Session) (base [2]uint64) {
	for _, p := range s {
		base[p.Dir] += uint64(len(p.Data))
	}
	return base
}

func only(s parsetest.Session, dir record.Direction) (some parsetest.Session) {
	for _, p := range s {
		if p.Dir == dir {
			some = append(some, p)
		}
	}
	return some
}

// firstCut cuts the first piece of each direction behind n bytes.
func firstCut(s parsetest.Session, n int) (cut parsetest.Session) {
	seen := map[record.Direction]bool{}
	for _, p := range s {
		if !seen[p.Dir] && len(p.Data) > n {
			cut = append(cut, parsetest.Piece{Dir: p.Dir, At: p.At, Data: p.Data[:n]})
			p.Data = p.Data[n:]
		}
		seen[p.Dir] = true
		cut = append(cut, p)
	}
	return cut
}

// spokenSession is a session, and what it may be beside what its name says and tcp.
type spokenSession struct {
	session   parsetest.Session
	protocols []string
}

// sessions returns sessions of all protocols, by "protocol: name".
func sessions(t *testing.T) map[string]spokenSession {
	t.Helper()
	all := map[string]spokenSession{}
	files, err := filepath.Glob("*/testdata/*.talk")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := filepath.Dir(filepath.Dir(file)) + ": " + strings.TrimSuffix(filepath.Base(file), ".talk")
		all[name] = spokenSession{session: parsetest.Load(t, file)}
	}
	files, err = filepath.Glob("kafka/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no sessions of Kafka: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var pieces []struct {
			Dir  string
			At   int64
			Data []byte
		}
		if err := json.Unmarshal(text, &pieces); err != nil {
			t.Fatal(err)
		}
		var s parsetest.Session
		for _, p := range pieces {
			dir := record.In
			if p.Dir == "out" {
				dir = record.Out
			}
			s = append(s, parsetest.Piece{Dir: dir, At: parsetest.Start.Add(time.Duration(p.At)), Data: p.Data})
		}
		all["kafka: "+filepath.Base(file)] = spokenSession{session: s}
	}
	if dir := os.Getenv("PROTOCOL_SESSIONS"); dir != "" {
		moreSessions(t, dir, all)
	}
	for name, s := range unknownSessions() {
		all["tcp: "+name] = spokenSession{session: s}
	}
	return all
}

// moreSessions adds the sessions that the mix of the tool has written to a folder.
func moreSessions(t *testing.T, dir string, all map[string]spokenSession) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Protocol string
			Calls    []struct{ Protocol string }
			Chunks   []struct {
				Dir  string
				TNs  int64 `json:"t_ns"`
				Data []byte
			}
		}
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		s := spokenSession{protocols: []string{f.Protocol}}
		for _, c := range f.Calls {
			if c.Protocol != "" && !slices.Contains(s.protocols, c.Protocol) {
				s.protocols = append(s.protocols, c.Protocol)
			}
		}
		for _, p := range f.Chunks {
			at := record.In
			if p.Dir == "out" {
				at = record.Out
			}
			s.session = append(s.session, parsetest.Piece{Dir: at, At: parsetest.Start.Add(time.Duration(p.TNs)), Data: p.Data})
		}
		all[filepath.Base(file)] = s
	}
}

// unknownSessions returns sessions of protocols that are not decoded.
func unknownSessions() map[string]parsetest.Session {
	be16, be32, be64 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32, binary.BigEndian.AppendUint64
	le32 := binary.LittleEndian.AppendUint32
	sessions := map[string]parsetest.Session{}
	talk := func(name string, texts ...string) { sessions[name] = parsetest.Talk(texts...) }
	// rounds is first, and then 30 requests with answers.
	rounds := func(name string, first []string, round func(i int) []string) {
		for i := range 30 {
			first = append(first, round(i)...)
		}
		talk(name, first...)
	}

	// MQTT 3.1.1 and 5: fixed header with type and length (sections 2.2 of both).
	mqtt := func(typ byte, body string) string { return string([]byte{typ, byte(len(body))}) + body }
	str := func(s string) string { return string(be16(nil, uint16(len(s)))) + s }
	rounds("mqtt", []string{">" + mqtt(0x10, str("MQTT")+"\x04\x02\x00\x3c"+str("sensor-1")), "<" + mqtt(0x20, "\x00\x00"), ">" + mqtt(0x82, "\x00\x01"+str("a/#")+"\x00"), "<" + mqtt(0x90, "\x00\x01\x00")},
		func(i int) []string {
			return []string{">" + mqtt(0x32, str("a/temperature")+string(be16(nil, uint16(i+2)))+fmt.Sprintf(`{"t":%d}`, i)), "<" + mqtt(0x40, string(be16(nil, uint16(i+2)))),
				"<" + mqtt(0x30, str("a/b")+"on"), ">" + mqtt(0xc0, ""), "<" + mqtt(0xd0, "")}
		})
	rounds("mqtt 5", []string{">" + mqtt(0x10, str("MQTT")+"\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x78"+str("c")), "<" + mqtt(0x20, "\x00\x00\x03\x21\x00\x14")},
		func(i int) []string {
			return []string{">" + mqtt(0x32, str("t")+string(be16(nil, uint16(i+1)))+"\x00hello"), "<" + mqtt(0x40, string(be16(nil, uint16(i+1)))+"\x00\x00")}
		})

	// AMQP 0-9-1 (section 4.2.3: type, channel, size, payload, 0xce) and 1.0 (section 2.3).
	amqp := func(typ byte, channel uint16, payload string) string {
		return string(append(append(be32(be16([]byte{typ}, channel), uint32(len(payload))), payload...), 0xce))
	}
	rounds("amqp", []string{">AMQP\x00\x00\x09\x01", "<" + amqp(1, 0, "\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x0b\x07productS\x00\x00\x00\x08RabbitMQ\x00\x00\x00\x05PLAIN\x00\x00\x00\x05en_US"),
		">" + amqp(1, 0, "\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x0c\x00guest\x00guest\x05en_US"), "<" + amqp(1, 0, "\x00\x0a\x00\x1e\x07\xff\x00\x02\x00\x00\x00\x3c")},
		func(i int) []string {
			return []string{">" + amqp(1, 1, "\x00\x3c\x00\x28\x00\x00\x00\x06orders\x00") + amqp(2, 1, "\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00") + amqp(3, 1, fmt.Sprintf("order%02d", i)),
				"<" + amqp(1, 1, "\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00"+string(rune(i))+"\x00"), "<" + amqp(8, 0, ""), ">" + amqp(8, 0, "")}
		})
	amqp1 := func(typ, channel byte, body string) string {
		return string(append(be32(nil, uint32(8+len(body))), 2, typ, 0, channel)) + body
	}
	rounds("amqp 1.0", []string{">AMQP\x03\x01\x00\x00", "<AMQP\x03\x01\x00\x00", ">" + amqp1(1, 0, "\x00\x53\x41\xc0\x10\x01\xa3\x05PLAIN"), "<" + amqp1(1, 0, "\x00\x53\x44\xc0\x03\x01\x50\x00")},
		func(i int) []string {
			return []string{">" + amqp1(0, 1, "\x00\x53\x14\xc0\x0b\x05\x43\x52"+string(rune(i))+"\xa0\x01a\x43\x42\x00\x53\x75\xa0\x05hello"), "<" + amqp1(0, 1, "\x00\x53\x15\xc0\x05\x02\x41\x52"+string(rune(i))+"\x41"), ">" + amqp1(0, 0, ""), "<" + amqp1(0, 0, "")}
		})

	// MongoDB: length, request, response to, opcode (OP_MSG 2013, OP_QUERY 2004, OP_REPLY 1), all little-endian.
	mongo := func(id, to, op uint32, body string) string {
		return string(le32(le32(le32(le32(nil, uint32(16+len(body))), id), to), op)) + body
	}
	bson := func(body string) string { return string(le32(nil, uint32(len(body)+5))) + body + "\x00" }
	rounds("mongodb", []string{">" + mongo(1, 0, 2004, "\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"+bson("\x10isMaster\x00\x01\x00\x00\x00")),
		"<" + mongo(1, 1, 1, "\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"+bson("\x08ismaster\x00\x01\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f"))},
		func(i int) []string {
			return []string{">" + mongo(uint32(i+2), 0, 2013, "\x00\x00\x00\x00\x00"+bson("\x02find\x00\x07\x00\x00\x00orders\x00\x10limit\x00\x01\x00\x00\x00\x02$db\x00\x05\x00\x00\x00shop\x00")),
				"<" + mongo(uint32(i+90), uint32(i+2), 2013, "\x00\x00\x00\x00\x00"+bson("\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f"))}
		})

	// memcached, text and binary (opcode, key length, …, total length, opaque, cas).
	rounds("memcached", nil, func(i int) []string {
		return []string{fmt.Sprintf(">set k%d 0 60 5\r\nhello\r\n", i), "<STORED\r\n", fmt.Sprintf(">get k%d nokey\r\n", i), fmt.Sprintf("<VALUE k%d 0 5\r\nhello\r\nEND\r\n", i), ">incr n 1\r\n", fmt.Sprintf("<%d\r\n", i), ">get a b c\r\n", "<END\r\n"}
	})
	rounds("memcached get", nil, func(i int) []string { return []string{fmt.Sprintf(">get user:%d\r\n", i), "<END\r\n"} })
	rounds("memcached binary", nil, func(i int) []string {
		return []string{">" + string(be32(append([]byte("\x80\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x05"), be32(nil, uint32(i))...), 0)) + "\x00\x00\x00\x00Hello",
			"<" + string(be64(append([]byte("\x81\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x09"), be32(nil, uint32(i))...), 1)) + "\xde\xad\xbe\xefWorld"}
	})

	// Lines of text.
	rounds("smtp", []string{"<220 mail.example.com ESMTP Postfix\r\n", ">EHLO shop.example.com\r\n", "<250-mail.example.com\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 8BITMIME\r\n"},
		func(i int) []string {
			return []string{">MAIL FROM:<a@example.com>\r\n", "<250 2.1.0 Ok\r\n", ">RCPT TO:<b@example.com>\r\n", "<250 2.1.5 Ok\r\n", ">DATA\r\n", "<354 End data with <CR><LF>.<CR><LF>\r\n",
				fmt.Sprintf(">From: a@example.com\r\nSubject: order %d\r\n\r\n+OK then\r\n-1\r\n$5\r\n*2\r\n:7\r\n.\r\n", i), "<250 2.0.0 Ok: queued as 4QxYz\r\n"}
		})
	rounds("pop3", []string{"<+OK POP3 ready <1896.697170952@dbc.example.com>\r\n", ">USER mrose\r\n", "<+OK\r\n", ">PASS secret\r\n", "<+OK mrose's maildrop has 2 messages (320 octets)\r\n"},
		func(i int) []string {
			return []string{">STAT\r\n", "<+OK 2 320\r\n", fmt.Sprintf(">RETR %d\r\n", i), "<+OK 120 octets\r\nFrom: x\r\n\r\nhello\r\n.\r\n", ">DELE 99\r\n", "<-ERR no such message\r\n"}
		})
	rounds("imap", []string{"<* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n"}, func(i int) []string {
		return []string{fmt.Sprintf(">a%d SELECT INBOX\r\n", i), fmt.Sprintf("<* 18 EXISTS\r\n* FLAGS (\\Seen)\r\na%d OK done\r\n", i)}
	})
	rounds("ftp", []string{"<220 ready\r\n", ">USER a\r\n", "<331 password\r\n"}, func(int) []string {
		return []string{">CWD /pub\r\n", "<250 ok\r\n", ">PASV\r\n", "<227 Entering Passive Mode (10,0,0,1,4,1)\r\n"}
	})
	rounds("irc", []string{">NICK a\r\nUSER a 0 * :A\r\n", "<:irc.example.com 001 a :Welcome\r\n"}, func(i int) []string {
		return []string{fmt.Sprintf(">PRIVMSG #shop :order %d\r\n", i), "<:b!b@x PRIVMSG #shop :ok\r\nPING :x\r\n", ">PONG :x\r\n"}
	})
	rounds("nats", []string{"<INFO {\"server_id\":\"N1\",\"version\":\"2.10.0\",\"proto\":1}\r\n", ">CONNECT {\"verbose\":true,\"lang\":\"go\"}\r\nPING\r\n", "<+OK\r\nPONG\r\n"}, func(i int) []string {
		return []string{fmt.Sprintf(">PUB orders.%d 5\r\nhello\r\n", i), "<+OK\r\n", "<MSG orders 1 5\r\nhello\r\n", ">PING\r\n", "<PONG\r\n", ">PUB foo..bar 2\r\nhi\r\n", "<-ERR 'Invalid Subject'\r\n"}
	})
	rounds("stomp", []string{">CONNECT\naccept-version:1.2\nhost:shop\n\n\x00", "<CONNECTED\nversion:1.2\n\n\x00"}, func(i int) []string {
		return []string{fmt.Sprintf(">SEND\ndestination:/queue/a\nreceipt:%d\n\nhello\x00", i), fmt.Sprintf("<RECEIPT\nreceipt-id:%d\n\n\x00", i)}
	})
	rounds("beanstalkd", nil, func(i int) []string {
		return []string{">put 0 0 60 5\r\nhello\r\n", fmt.Sprintf("<INSERTED %d\r\n", i), ">reserve\r\n", fmt.Sprintf("<RESERVED %d 5\r\nhello\r\n", i)}
	})
	rounds("graphite", nil, func(i int) []string { return []string{fmt.Sprintf(">shop.orders.count %d 1700000000\n", i)} })
	rounds("json lines", nil, func(i int) []string {
		return []string{fmt.Sprintf(">{\"id\":%d,\"op\":\"get\"}\n", i), fmt.Sprintf("<{\"id\":%d,\"ok\":true}\n", i)}
	})
	rounds("telnet", []string{"<\xff\xfd\x18\xff\xfd\x20", ">\xff\xfb\x18\xff\xfc\x20", "<login: "}, func(int) []string { return []string{">ls -l\r\n", "<total 0\r\n$ "} })
	rounds("rsync", []string{"<@RSYNCD: 31.0\n", ">@RSYNCD: 31.0\n"}, func(i int) []string { return []string{fmt.Sprintf(">module%d\n", i), "<@RSYNCD: OK\n"} })

	// SSH: a line each, and then packets that look random.
	random := rand.New(rand.NewPCG(3, 4))
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.IntN(256))
		}
		return string(b)
	}
	rounds("ssh", []string{"<SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n", ">SSH-2.0-OpenSSH_9.6\r\n", ">\x00\x00\x02\x3c\x06\x14" + noise(16) + "\x00\x00\x00\x1ecurve25519-sha256,ecdh-nistp256"},
		func(int) []string {
			return []string{">" + noise(64+random.IntN(100)), "<" + noise(64+random.IntN(500))}
		})
	rounds("random", nil, func(int) []string { return []string{">" + noise(1+random.IntN(600)), "<" + noise(1+random.IntN(600))} })
	small := func(n int) string { return strings.Map(func(r rune) rune { return r % 4 }, noise(n)) }
	rounds("small numbers", nil, func(int) []string { return []string{">" + small(1+random.IntN(300)), "<" + small(1+random.IntN(300))} })
	rounds("zeros", nil, func(int) []string {
		return []string{">" + strings.Repeat("\x00", 200), "<" + strings.Repeat("\x00", 300)}
	})
	rounds("digits", nil, func(i int) []string { return []string{fmt.Sprintf(">%08d", i), fmt.Sprintf("<%08d", i)} })

	// Others with a length in front.
	framed := func(b string) string { return string(be32(nil, uint32(len(b)))) + b }
	rounds("a length and text", nil, func(i int) []string { return []string{">" + framed(fmt.Sprintf("hello %d", i)), "<" + framed("world")} })
	rounds("a length and JSON", nil, func(i int) []string {
		return []string{">" + framed(fmt.Sprintf(`{"id":%d}`, i)), "<" + framed(`{"ok":true}`)}
	})
	rounds("a length, a number and text", nil, func(i int) []string {
		return []string{">" + framed(string(be32(nil, uint32(i)))+"GET user"), "<" + framed(string(be32(nil, uint32(i)))+"Mr. X")}
	})
	// ZooKeeper: length, then xid, type, path; the connect request first.
	rounds("zookeeper", []string{">" + framed(string(make([]byte, 12))+"\x00\x00\x75\x30"+string(make([]byte, 8))+"\x00\x00\x00\x10"+string(make([]byte, 16))+"\x00"), "<" + framed("\x00\x00\x00\x00\x00\x00\x75\x30\x01\x00\x0a\x0b\x0c\x0d\x0e\x0f\x00\x00\x00\x10"+noise(16)+"\x00")},
		func(i int) []string {
			return []string{">" + framed(string(be32(be32(nil, uint32(i+1)), 4))+string(be32(nil, 9))+"/services\x01"), "<" + framed(string(be64(be32(nil, uint32(i+1)), 77))+"\x00\x00\x00\x00\x00\x00\x00\x05hello")}
		})
	// Cassandra's CQL 4: version, flags, stream, opcode, length.
	cql := func(version byte, stream uint16, op byte, body string) string {
		return string(be32(append(be16([]byte{version, 0}, stream), op), uint32(len(body)))) + body
	}
	rounds("cassandra", []string{">" + cql(4, 0, 1, "\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0"), "<" + cql(0x84, 0, 2, "")}, func(i int) []string {
		q := "SELECT * FROM shop.orders WHERE id = 7"
		return []string{">" + cql(4, uint16(i), 7, string(be32(nil, uint32(len(q))))+q+"\x00\x01\x34"), "<" + cql(0x84, uint16(i), 8, "\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x02")}
	})
	// SQL Server's TDS: type, status, length, spid, packet, window.
	tds := func(typ byte, body string) string {
		return string(append(be16([]byte{typ, 1}, uint16(8+len(body))), 0, 0, 1, 0)) + body
	}
	wide := func(s string) string { return strings.Join(strings.Split(s, ""), "\x00") + "\x00" }
	rounds("tds", []string{">" + tds(0x12, "\x00\x00\x15\x00\x06\x01\x00\x1b\x00\x01\x02\x00\x1c\x00\x0c\x03\x00\x28\x00\x04\xff\x08\x00\x01\x55\x00\x00\x02"), "<" + tds(4, "\x00\x00\x10\x00\x06\x01\x00\x16\x00\x01\xff\x0e\x00\x0c\xa6\x00\x00\x02")},
		func(int) []string {
			return []string{">" + tds(1, wide("SELECT * FROM orders WHERE id = 1")), "<" + tds(4, "\xfd\x10\x00\xc1\x00\x01\x00\x00\x00\x00\x00\x00\x00")}
		})
	// LDAP: ASN.1.
	rounds("ldap", []string{">\x30\x1d\x02\x01\x01\x60\x18\x02\x01\x03\x04\x0bcn=x,dc=com\x80\x06secret", "<\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"}, func(i int) []string {
		return []string{">\x30\x25\x02\x01" + string(rune(i)) + "\x63\x20\x04\x06dc=com\x0a\x01\x02\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x05class\x30\x00", "<\x30\x0c\x02\x01" + string(rune(i)) + "\x65\x07\x0a\x01\x00\x04\x00\x04\x00"}
	})
	// DNS over TCP.
	rounds("dns", nil, func(i int) []string {
		q := string(be16(nil, uint16(i*771))) + "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01"
		a := string(be16(nil, uint16(i*771))) + "\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\x5d\xb8\xd8\x22"
		return []string{">" + str(q), "<" + str(a)}
	})
	rounds("pulsar", nil, func(i int) []string {
		return []string{">" + framed("\x00\x00\x00\x0a\x08\x12\xaa\x01\x05\x08\x07\x10"+string(rune(i))+"\x00"), "<" + framed("\x00\x00\x00\x08\x08\x07\x3a\x04\x08\x01\x10"+string(rune(i)))}
	})
	rounds("rsocket", []string{">\x00\x00\x2b\x00\x00\x00\x00\x04\x00\x00\x01\x00\x00\x00\x00\x4e\x20\x00\x01\x5f\x90\x18application/json\x00"}, func(i int) []string {
		return []string{">\x00\x00\x0b" + string(be32(nil, uint32(2*i+1))) + "\x10\x00hello", "<\x00\x00\x0b" + string(be32(nil, uint32(2*i+1))) + "\x28\x60world"}
	})
	rounds("bgp", nil, func(int) []string {
		return []string{">" + strings.Repeat("\xff", 16) + "\x00\x13\x04", "<" + strings.Repeat("\xff", 16) + "\x00\x13\x04"}
	})
	rounds("vnc", []string{"<RFB 003.008\n", ">RFB 003.008\n", "<\x01\x01", ">\x01", "<\x00\x00\x00\x00"}, func(int) []string {
		return []string{">\x03\x01\x00\x00\x00\x00\x04\x00\x03\x00", "<\x00\x00\x00\x01\x00\x00\x00\x00\x00\x10\x00\x10\x00\x00\x00\x00" + strings.Repeat("\x10\x20\x30\x00", 64)}
	})
	rounds("rtmp", []string{">\x03" + noise(1536), "<\x03" + noise(3072), ">" + noise(1536)}, func(int) []string {
		return []string{">\x03\x00\x00\x00\x00\x00\x19\x14\x00\x00\x00\x00\x02\x00\x0ccreateStream\x00\x40\x00\x00\x00\x00\x00\x00\x00\x05", "<\x03\x00\x00\x00\x00\x00\x1d\x14\x00\x00\x00\x00\x02\x00\x07_result\x00\x40\x00\x00\x00\x00\x00\x00\x00\x05\x00\x3f\xf0\x00\x00\x00\x00\x00\x00"}
	})
	rounds("zabbix", nil, func(i int) []string {
		b := fmt.Sprintf(`{"request":"agent data","n":%d}`, i)
		return []string{">ZBXD\x01" + string(binary.LittleEndian.AppendUint64(nil, uint64(len(b)))) + b, "<ZBXD\x01\x15\x00\x00\x00\x00\x00\x00\x00" + `{"response":"success"}`}
	})
	rounds("smb", nil, func(i int) []string {
		h := "\xfeSMB\x40\x00\x01\x00\x00\x00\x00\x00\x05\x00\x1f\x00\x00\x00\x00\x00\x00\x00\x00\x00" + string(binary.LittleEndian.AppendUint64(nil, uint64(i))) + strings.Repeat("\x00", 32)
		return []string{">" + framed(h+"\x39\x00\x00\x00\x02"), "<" + framed(h+"\x59\x00\x00\x00\x01")}
	})
	return sessions
}
