package protocol_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/protocol"
	"mosn.io/tcpcopy/pkg/record"
)

func TestMessagesAreRecognised(t *testing.T) {
	const in, out = record.In, record.Out
	greeting := "\x0a8.0.32\x00\x09\x00\x00\x00abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15" + strings.Repeat("\x00", 10) + "ijklmnopqrst\x00mysql_native_password\x00"
	cases := []struct {
		dir  record.Direction
		data string
		want protocol.Name
	}{
		{in, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", protocol.HTTP1},
		{in, "DELETE /long", protocol.HTTP1}, // the line goes on
		{in, "PATCH /a HTTP/1.0\r\n", protocol.HTTP1},
		{out, "HTTP/1.1 100 Continue\r\n\r\n", protocol.HTTP1},
		{in, protocol.HTTP2Preface, protocol.HTTP2},
		{in, protocol.HTTP2Preface[:16], protocol.HTTP2}, // the first read may be short
		{out, "\x00\x00\x00\x04\x00\x00\x00\x00\x00", protocol.HTTP2},
		{in, "\x00\x00\x05\x01\x04\x00\x00\x00\x07abcde\x00\x00\x02\x00\x01\x00\x00\x00\x07ab", protocol.HTTP2},
		{in, "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x10\x00", protocol.HTTP2},
		{out, "\x00\x40\x00\x00\x00\x00\x00\x00\x05" + strings.Repeat("x", 999), protocol.HTTP2}, // the frame goes on
		{in, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", protocol.TLS},
		{out, "\x17\x03\x03\x00\x01x", protocol.TLS},
		{out, "SSH-2.0-OpenSSH_9.2p1\r\n", protocol.SSH},
		{in, "AMQP\x00\x00\x09\x01", protocol.AMQP},
		{in, "\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02ab", protocol.MQTT},
		{in, "\x10\x8e\x02\x00\x06MQIsdp\x03", protocol.MQTT},
		{in, "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n", protocol.Redis},
		{out, "+OK\r\n", protocol.Redis},
		{out, "$-1\r\n", protocol.Redis},
		{in, "set key 0 60 5\r\nhello\r\n", protocol.Memcache},
		{out, "VALUE key 0 5\r\nhello\r\nEND\r\n", protocol.Memcache},
		{in, "\x15\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00", protocol.Mongo},
		{out, string(rune(len(greeting))) + "\x00\x00\x00" + greeting, protocol.MySQL},
		{in, "\x09\x00\x00\x00\x03SELECT 1", protocol.MySQL},
		{in, "\x00\x00\x00\x08\x04\xd2\x16\x2f", protocol.Postgres},
		{in, "\x00\x00\x00\x11\x00\x03\x00\x00user\x00pg\x00\x00", protocol.Postgres},
		{in, "Q\x00\x00\x00\x0dSELECT 1\x00", protocol.Postgres},
		{out, "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I", protocol.Postgres},
		{in, "\x00\x00\x00\x0d\x00\x12\x00\x03\x00\x00\x00\x01\x00\x03cli", protocol.Kafka},

		{in, "", protocol.Unknown},
		{in, "hello", protocol.Unknown},
		{in, "SET x 1\r\n", protocol.Unknown}, // begins as a request line does
		{in, "HELLO WORLD\r\n", protocol.Unknown},
		{in, "\xda\xbb\xc2\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00", protocol.Unknown}, // Dubbo, which Wireshark does not know
		{in, "\x00\x00\x00\x00", protocol.Unknown},
		{in, "\x00\x00\x05\x01\x04\x00\x00\x00\x08abcde", protocol.Unknown},               // a stream that no client opens
		{in, "\x00\x00\x05\x01\x04\x00\x00\x00\x07abcdeno more frames", protocol.Unknown}, // what follows is no frame
		{in, "\x09\x00\x00\x00\x03SELECT 1 and more", protocol.Unknown},                   // longer than it says
		{out, "Z\x00\x00\x00\xffI", protocol.Unknown},                                     // shorter than it says
		{in, "*x\r\n", protocol.Unknown},
	}
	for _, c := range cases {
		if got := protocol.Recognise(c.dir, []byte(c.data)); got != c.want {
			t.Errorf("%v %.40q is %q, want %q", c.dir, c.data, got, c.want)
		}
	}
}

// What has no protocol is hardly ever thought to have one.
func TestRandomBytesAreNotRecognised(t *testing.T) {
	const tries = 100_000
	random := rand.New(rand.NewPCG(1, 2))
	found := map[protocol.Name]int{}
	for range tries {
		data := make([]byte, 1+random.IntN(200))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		found[protocol.Recognise(record.Direction(random.IntN(2)), data)]++
	}
	if found[protocol.Unknown] < tries-tries/10000 {
		t.Errorf("of %d times random bytes, recognised: %s", tries, fmt.Sprint(found))
	}
}

func FuzzRecognise(f *testing.F) {
	f.Add([]byte(protocol.HTTP2Preface), true)
	f.Add([]byte("\x10\xff\xff\xff\xff"), false)
	f.Add([]byte("\x00\x00\x00\x0e\x00\x12\x00\x03\x00\x00\x00\x01\xff\xff"), false)
	f.Fuzz(func(_ *testing.T, data []byte, out bool) {
		dir := record.In
		if out {
			dir = record.Out
		}
		protocol.Recognise(dir, data)
	})
}
