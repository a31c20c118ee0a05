package mix

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"mosn.io/tcpcopy/internal/witness"
	"mosn.io/tcpcopy/pkg/record"
)

func startKafka(t testing.TB) server {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders", "news"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return server{address: cluster.ListenAddrs()[0], name: "kfake", topics: &sync.Map{}}
}

// kafka returns a client all of whose connections go through the path, whatever the brokers say
// that their address is. note notes the calls when the client is closed.
func (r *run) kafka(options ...kgo.Opt) (client *kgo.Client, note func()) {
	var mu sync.Mutex
	var conns []*witness.Conn
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers("127.0.0.1:1"),
		kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := r.path.Dial(ctx)
			if err == nil {
				mu.Lock()
				conns = append(conns, conn)
				mu.Unlock()
			}
			return conn, err
		}),
		kgo.DisableClientMetrics(), kgo.RequestTimeoutOverhead(10 * time.Second),
	}, options...)...)
	r.check(err)
	return client, func() {
		client.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			r.kafkaCalls(conn)
		}
	}
}

// kafkaCalls notes the calls of a connection from its bytes, with franz-go's own types.
func (r *run) kafkaCalls(conn *witness.Conn) {
	r.Helper()
	frames := func(b []byte) (list []witness.Range) {
		for at := 0; at+4 <= len(b); {
			n := 4 + int(binary.BigEndian.Uint32(b[at:]))
			if at+n > len(b) {
				break
			}
			list = append(list, witness.Range{Offset: uint64(at), Length: uint64(n)})
			at += n
		}
		return list
	}
	in, out := conn.Link.Bytes(record.In), conn.Link.Bytes(record.Out)
	answers := map[uint32]witness.Range{}
	for _, f := range frames(out) {
		answers[binary.BigEndian.Uint32(out[f.Offset+4:])] = f
	}
	for _, f := range frames(in) {
		b := in[f.Offset+4 : f.Offset+f.Length]
		key, version, id := int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[4:])
		request := kmsg.RequestForKey(key)
		request.SetVersion(version)
		body := b[8:]
		if n := int(int16(binary.BigEndian.Uint16(body))); n >= 0 {
			body = body[n:]
		}
		body = body[2:]
		if request.IsFlexible() {
			body = body[1:] // no tags
		}
		if err := request.ReadFrom(body); err != nil {
			r.Fatalf("%s: %v", kmsg.NameForKey(key), err)
		}
		method := strings.ReplaceAll(kmsg.NameForKey(key), "ProducerID", "ProducerId") // as Kafka spells it
		c := witness.Call{Protocol: "kafka", Method: method, Target: strings.Join(r.kafkaTopics(request, true), ","), OrTarget: strings.Join(r.kafkaTopics(request, false), ","), Request: &f, Comment: fmt.Sprintf("version %d", version)}
		if a, ok := answers[id]; ok {
			response := request.ResponseKind()
			body := out[a.Offset+8 : a.Offset+a.Length]
			if response.IsFlexible() && key != 18 {
				body = body[1:]
			}
			if err := response.ReadFrom(body); err != nil {
				r.Fatalf("answer to %s: %v", kmsg.NameForKey(key), err)
			}
			if metadata, ok := response.(*kmsg.MetadataResponse); ok {
				for _, t := range metadata.Topics {
					if t.Topic != nil && t.TopicID != ([16]byte{}) {
						r.on.topics.Store(t.TopicID, *t.Topic)
					}
				}
			}
			c.Response, c.Code = &a, kafkaCode(response)
			c.Status, c.Failed = fmt.Sprint(c.Code), c.Code != 0
		} else if produce, ok := request.(*kmsg.ProduceRequest); ok && produce.Acks == 0 {
			c.NoAnswer = true
		} else {
			c.NoAnswer, c.Undecided = true, true // the client closed the connection meanwhile
		}
		r.note(conn, c)
	}
}

// kafkaTopics returns the names of topics in a request, for ids the names that the server has
// answered so far, if named, else the ids.
func (r *run) kafkaTopics(request kmsg.Request, named bool) []string {
	var topics []string
	addID := func(id [16]byte) {
		if name, ok := r.on.topics.Load(id); ok && named {
			topics = append(topics, name.(string))
		} else if id != ([16]byte{}) { // as Kafka prints it
			topics = append(topics, base64.RawURLEncoding.EncodeToString(id[:]))
		}
	}
	add := func(t string) {
		if t != "" && !slices.Contains(topics, t) {
			topics = append(topics, t)
		}
	}
	switch q := request.(type) {
	case *kmsg.ProduceRequest:
		for _, t := range q.Topics {
			add(t.Topic)
			addID(t.TopicID)
		}
	case *kmsg.FetchRequest:
		for _, t := range q.Topics {
			add(t.Topic)
			addID(t.TopicID)
		}
	case *kmsg.MetadataRequest:
		for _, t := range q.Topics {
			if t.Topic != nil {
				add(*t.Topic)
			}
		}
	case *kmsg.ListOffsetsRequest:
		for _, t := range q.Topics {
			add(t.Topic)
		}
	case *kmsg.OffsetForLeaderEpochRequest:
		for _, t := range q.Topics {
			add(t.Topic)
		}
	case *kmsg.CreateTopicsRequest:
		for _, t := range q.Topics {
			add(t.Topic)
		}
	case *kmsg.DeleteTopicsRequest:
		for _, t := range q.TopicNames {
			add(t)
		}
		for _, t := range q.Topics {
			if t.Topic != nil {
				add(*t.Topic)
			}
		}
	case *kmsg.OffsetCommitRequest:
		for _, t := range q.Topics {
			add(t.Topic)
			addID(t.TopicID)
		}
	case *kmsg.OffsetFetchRequest:
		for _, t := range q.Topics {
			add(t.Topic)
		}
		for _, g := range q.Groups {
			for _, t := range g.Topics {
				add(t.Topic)
				addID(t.TopicID)
			}
		}
	// Of requests about a group, it is the group.
	case *kmsg.FindCoordinatorRequest:
		add(q.CoordinatorKey)
		for _, key := range q.CoordinatorKeys {
			add(key)
		}
	case *kmsg.JoinGroupRequest:
		add(q.Group)
	case *kmsg.SyncGroupRequest:
		add(q.Group)
	case *kmsg.HeartbeatRequest:
		add(q.Group)
	case *kmsg.LeaveGroupRequest:
		add(q.Group)
	}
	return topics
}

// kafkaCode returns the first error code of an answer that is not 0.
func kafkaCode(response kmsg.Response) int {
	var codes []int16
	switch a := response.(type) {
	case *kmsg.ProduceResponse:
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	case *kmsg.FetchResponse:
		codes = append(codes, a.ErrorCode)
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	case *kmsg.MetadataResponse:
		for _, t := range a.Topics {
			codes = append(codes, t.ErrorCode)
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	case *kmsg.ListOffsetsResponse:
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	case *kmsg.CreateTopicsResponse:
		for _, t := range a.Topics {
			codes = append(codes, t.ErrorCode)
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range a.Topics {
			codes = append(codes, t.ErrorCode)
		}
	case *kmsg.OffsetCommitResponse:
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		codes = append(codes, a.ErrorCode)
		for _, g := range a.Groups {
			codes = append(codes, g.ErrorCode)
		}
	case *kmsg.ApiVersionsResponse:
		codes = append(codes, a.ErrorCode)
	case *kmsg.FindCoordinatorResponse:
		codes = append(codes, a.ErrorCode)
		for _, c := range a.Coordinators {
			codes = append(codes, c.ErrorCode)
		}
	case *kmsg.JoinGroupResponse:
		codes = append(codes, a.ErrorCode)
	case *kmsg.SyncGroupResponse:
		codes = append(codes, a.ErrorCode)
	case *kmsg.HeartbeatResponse:
		codes = append(codes, a.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		codes = append(codes, a.ErrorCode)
		for _, m := range a.Members {
			codes = append(codes, m.ErrorCode)
		}
	case *kmsg.InitProducerIDResponse:
		codes = append(codes, a.ErrorCode)
	}
	for _, c := range codes {
		if c != 0 {
			return int(c)
		}
	}
	return 0
}

func kafkaScenarios() []scenario {
	return []scenario{
		{"kafka", "produce", func(r *run) { kafkaProduce(r) }},
		{"kafka", "produce-old", func(r *run) { // versions without tags
			kafkaProduce(r, kgo.MaxVersions(kversion.V1_0_0()), kgo.DisableIdempotentWrite())
		}},
		{"kafka", "no-acks", func(r *run) {
			kafkaProduce(r, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
		}},
		{"kafka", "consume", kafkaConsume},
		{"kafka", "group", kafkaGroup},
		{"kafka", "admin", kafkaAdmin},
	}
}

func kafkaProduce(r *run, options ...kgo.Opt) {
	client, note := r.kafka(options...)
	defer note()
	for i := range 30 {
		record := &kgo.Record{Topic: []string{"orders", "news"}[i%2], Key: []byte{byte(i)}, Value: []byte(strings.Repeat("value ", i*20))}
		r.check(client.ProduceSync(r.ctx, record).FirstErr())
	}
}

func kafkaConsume(r *run) {
	kafkaProduce(r)
	client, note := r.kafka(kgo.ConsumeTopics("orders", "news"), kgo.FetchMaxWait(50*time.Millisecond))
	defer note()
	for n := 0; n < 30; {
		fetches := client.PollFetches(r.ctx)
		r.check(fetches.Err())
		n += fetches.NumRecords()
	}
}

func kafkaGroup(r *run) {
	kafkaProduce(r)
	client, note := r.kafka(kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("mix"), kgo.FetchMaxWait(50*time.Millisecond), kgo.DisableAutoCommit(),
		kgo.HeartbeatInterval(200*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer note()
	for n := 0; n < 15; {
		fetches := client.PollFetches(r.ctx)
		r.check(fetches.Err())
		n += fetches.NumRecords()
		r.check(client.CommitUncommittedOffsets(r.ctx))
		if n == 0 {
			break // another run has committed
		}
	}
	ctx, cancel := context.WithTimeout(r.ctx, 300*time.Millisecond) // long enough for a heartbeat
	defer cancel()
	client.PollFetches(ctx)
}

func kafkaAdmin(r *run) {
	client, note := r.kafka()
	defer note()
	admin := kadm.NewClient(client)
	name := fmt.Sprintf("t-%d", time.Now().UnixNano())
	for range 5 {
		if _, err := admin.CreateTopic(r.ctx, 2, 1, nil, name); err != nil && !strings.Contains(err.Error(), "TOPIC_ALREADY_EXISTS") {
			r.Fatal(err)
		}
		if _, err := admin.ListTopics(r.ctx); err != nil {
			r.Fatal(err)
		}
		if _, err := admin.Metadata(r.ctx, name, "nowhere"); err != nil {
			r.Fatal(err)
		}
		if _, err := admin.ListEndOffsets(r.ctx, "orders"); err != nil {
			r.Fatal(err)
		}
	}
	if _, err := admin.DeleteTopics(r.ctx, name, "nowhere"); err != nil {
		r.Fatal(err)
	}
}
