package reading_test

import (
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"mosn.io/tcpcopy/pkg/calls"
	"mosn.io/tcpcopy/pkg/dump"
	"mosn.io/tcpcopy/pkg/dump/hexlog"
	"mosn.io/tcpcopy/pkg/record"
	"mosn.io/tcpcopy/tool/internal/reading"
)

// A topic that a request has by its number has its name, although the connection that named it is not asked for, or
// comes later.
func TestTopicsOfOtherConnections(t *testing.T) {
	const name = "orders"
	id := [16]byte{15: 7}
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 12
	named := kmsg.NewPtrMetadataResponse()
	named.Version = 12
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic, topic.TopicID = kmsg.StringPtr(name), id
	named.Topics = append(named.Topics, topic)
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 13
	for _, id := range [][16]byte{id, {15: 8}} {
		of := kmsg.NewFetchRequestTopic()
		of.TopicID = id
		fetch.Topics = append(fetch.Topics, of)
	}
	fetched := kmsg.NewPtrFetchResponse()
	fetched.Version = 13

	start := time.Unix(1_700_000_000, 0).UnixNano()
	e := hexlog.NewMetaEncoder()
	var file []byte
	talk := func(window, conn, port string, in, out []byte) {
		of := &record.Flow{Endpoint: record.Endpoint{Identity: record.Identity{Window: window, Conn: conn, Port: port, Network: "tcp", Peer: "10.0.0.1:1", Listener: "10.0.0.2:" + port}}, FromStart: true}
		file = e.Open(file, start, of)
		file = e.Data(file, start+1e6, of, record.In, 0, in)
		file = e.Data(file, start+2e6, of, record.Out, 0, out)
		start += 1e9
	}
	request := func(r kmsg.Request) []byte {
		return kmsg.NewRequestFormatter(kmsg.FormatterClientID("app")).AppendRequest(nil, r, 7)
	}
	answer := func(r kmsg.Response) []byte {
		b := r.AppendTo([]byte{0, 0, 0, 7, 0}) // number of the request, no tags
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	talk("w", "k3v9qa-1", "8080", []byte("GET / HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 204 No Content\r\n\r\n"))
	talk("w", "k3v9qa-2", "9092", request(fetch), answer(fetched))
	talk("w", "k3v9qa-3", "9093", request(meta), answer(named))
	talk("v", "k3v9qa-2", "9092", request(fetch), answer(fetched))
	path := filepath.Join(t.TempDir(), "x.log")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	other := base64.RawURLEncoding.EncodeToString(fetch.Topics[1].TopicID[:])
	unnamed := base64.RawURLEncoding.EncodeToString(id[:]) + "," + other
	for _, c := range []struct {
		what string
		q    reading.Query
		want string
	}{
		{"one connection", reading.Query{Conns: []string{"k3v9qa-2"}}, name + "," + other + " " + name + "," + other},
		{"one port and window", reading.Query{Options: dump.Options{Filter: dump.Filter{Port: "9092", Window: "w"}}}, name + "," + other},
		{"a window without names", reading.Query{Options: dump.Options{Filter: dump.Filter{Window: "v"}}}, unnamed},
		{"all, the name last", reading.Query{}, name + "," + other + " " + name + "," + other},
	} {
		c.q.Path = path
		var got []string
		_, err := c.q.Calls(t.Context(), calls.Options{}, func(c *calls.Call) error {
			if c.Method == "Fetch" {
				got = append(got, c.Target)
			}
			return nil
		})
		if text := strings.Join(got, " "); err != nil || text != c.want {
			t.Errorf("%s: %q, %v, want %q", c.what, text, err, c.want)
		}
	}
}
