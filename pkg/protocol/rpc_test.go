package protocol_test

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"mosn.io/tcpcopy/pkg/protocol"
	"mosn.io/tcpcopy/pkg/protocol/bolt"
	"mosn.io/tcpcopy/pkg/protocol/call"
	"mosn.io/tcpcopy/pkg/protocol/dubbo"
	"mosn.io/tcpcopy/pkg/protocol/http1"
	"mosn.io/tcpcopy/pkg/protocol/http2"
	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/protocol/mysql"
	"mosn.io/tcpcopy/pkg/protocol/parse"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/protocol/postgresql"
	"mosn.io/tcpcopy/pkg/protocol/redis"
	"mosn.io/tcpcopy/pkg/protocol/tars"
	"mosn.io/tcpcopy/pkg/protocol/thrift"
	"mosn.io/tcpcopy/pkg/protocol/tls"
	"mosn.io/tcpcopy/pkg/record"
)

// The RPC protocols are recognised from their beginning and from the middle, and what the
// others send is not of them.
func TestRecognisesRPC(t *testing.T) {
	all := []*parse.Protocol{
		&bolt.Protocol, &dubbo.Protocol, &tars.Protocol, &thrift.Protocol, &http1.Protocol, &http2.Protocol, &kafka.Protocol, &mysql.Protocol,
		&postgresql.Protocol, &redis.Protocol, &tls.Protocol,
	}
	for _, name := range []string{call.Bolt, call.Dubbo, call.Tars, call.Thrift} {
		files, err := filepath.Glob(name + "/testdata/*.talk")
		if err != nil || len(files) == 0 {
			t.Fatal("no sessions: ", err)
		}
		for _, file := range files {
			session := parsetest.Load(t, file)
			t.Run(name+" "+filepath.Base(file), func(t *testing.T) {
				whole := decode(t, session, 0, 1<<20, rand.New(rand.NewPCG(1, 1)), false)
				if n := strings.Count(whole, " "+name+" "); n == 0 || n != strings.Count(whole, "\n")+1 {
					t.Fatalf("%d calls of %s in\n%s", n, name, whole)
				}
				for from := 1; from < min(len(session)-4, 12); from++ {
					d := protocol.New(&parsetest.Recorder{}, protocol.Limits{})
					var next [2]uint64
					for i, p := range session {
						if i >= from {
							d.Data(p.Dir, next[p.Dir], p.At, p.Data)
						}
						next[p.Dir] += uint64(len(p.Data))
					}
					d.End(parsetest.Start)
					if d.Protocol() != name {
						t.Errorf("from piece %d on it is %s", from, d.Protocol())
					}
				}
				first := map[record.Direction]bool{}
				for _, p := range session {
					if first[p.Dir] {
						continue
					}
					first[p.Dir] = true
					for _, other := range all {
						if v := other.Begins(p.Dir, p.Data); other.Name != name && v == parse.Yes {
							t.Errorf("%s recognises it", other.Name)
						}
					}
				}
			})
		}
	}
}

// What clients and servers of other protocols begin with is of no RPC protocol.
func TestRecognisesNoRPC(t *testing.T) {
	beginnings := map[string]string{
		"redis":             "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
		"http/2":            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"http/2's server":   "\x00\x00\x0c\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\x00\x04\x00\x10\x00\x00",
		"postgresql":        "\x00\x00\x00\x54\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00application_name\x00psql\x00",
		"postgresql's SSL":  "\x00\x00\x00\x08\x04\xd2\x16\x2f",
		"mysql's greeting":  "\x4a\x00\x00\x00\x0a5.5.5-10.11.6-MariaDB\x00\x08\x00\x00\x00abcdefgh\x00\xfe\xf7",
		"mysql's login":     "\x54\x00\x00\x01\x8d\xa6\x0f\x00\x00\x00\x00\x01\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00root\x00",
		"kafka":             "\x00\x00\x00\x1d\x00\x12\x00\x00\x00\x00\x00\x01\x00\x0frdkafka-adminclt\x00\x00",
		"kafka's Produce":   "\x00\x00\x00\x2d\x00\x00\x00\x03\x00\x00\x00\x04\x00\x0aproducer-1\xff\xff\xff\xff\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"kafka's answer":    "\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
		"tls":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x82\x21\x01\x03abcdefghijklmnopqrstuvwxyz",
		"memcached":         "\x80\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00Hello",
		"mongodb":           "\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00\x00\x00\x00\x00admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff",
		"amqp":              "AMQP\x00\x00\x09\x01AMQP\x00\x00\x09\x01AMQP\x00\x00\x09\x01",
		"zookeeper":         "\x00\x00\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x75\x30\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"a length and text": "\x00\x00\x00\x0bhello world",
	}
	for what, text := range beginnings {
		for _, p := range []*parse.Protocol{&bolt.Protocol, &dubbo.Protocol, &tars.Protocol, &thrift.Protocol} {
			for _, dir := range record.Directions() {
				if v := p.Begins(dir, []byte(text)); v != parse.No {
					t.Errorf("%s: %s says %v in direction %s", what, p.Name, v, dir)
				}
			}
		}
	}
}

// Random bytes are of no RPC protocol, wherever one looks for messages.
func TestRandomBytesAreNoRPC(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<20)
	for _, zeros := range []int{1, 2, 8} { // one byte in so many is random, others are small
		for i := range data {
			data[i] = byte(random.IntN(256))
			if random.IntN(zeros) > 0 {
				data[i] = byte(random.IntN(3))
			}
		}
		for _, p := range []*parse.Protocol{&bolt.Protocol, &dubbo.Protocol, &tars.Protocol, &thrift.Protocol} {
			for _, dir := range record.Directions() {
				if at, needed, found := p.Within(dir, data); found {
					t.Errorf("one of %d: %s in direction %s at %d with %d bytes: %x", zeros, p.Name, dir, at, needed, data[at:at+40])
				}
			}
		}
	}
}
