package mix

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"mosn.io/tcpcopy/pkg/protocol/kafka"
	"mosn.io/tcpcopy/pkg/protocol/parsetest"
	"mosn.io/tcpcopy/pkg/record"
)

// newerKafka has the messages that franz-go knows and the table of the parser does not,
// with the last version that it knows.
var newerKafka = map[int16]int16{88: 0, 89: 0, 93: -1, 94: -1}

// Of every message in every version, the parser finds the topics and the error code that
// franz-go has written.
func TestKafkaMessages(t *testing.T) {
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		request := kmsg.RequestForKey(key)
		if request == nil {
			continue
		}
		last := request.MaxVersion()
		if known, ok := newerKafka[key]; ok {
			last = known
		}
		for version := int16(0); version <= last; version++ {
			if key == 7 && version == 0 {
				continue // its header is unlike all others, and franz-go's is not right
			}
			t.Run(fmt.Sprintf("%s-%d", kmsg.NameForKey(key), version), func(t *testing.T) {
				for seed := range uint64(8) {
					kafkaMessage(t, key, version, rand.New(rand.NewPCG(seed, uint64(key)<<8|uint64(version))))
				}
			})
		}
	}
}

func kafkaMessage(t *testing.T, key, version int16, random *rand.Rand) {
	t.Helper()
	request := kmsg.RequestForKey(key)
	request.SetVersion(version)
	fill(reflect.ValueOf(request).Elem(), random, "")
	request.SetVersion(version)
	if p, ok := request.(*kmsg.ProduceRequest); ok {
		p.Acks = 1
	}
	response := request.ResponseKind()
	fill(reflect.ValueOf(response).Elem(), random, "")
	response.SetVersion(version)

	in := kmsg.NewRequestFormatter(kmsg.FormatterClientID("oracle")).AppendRequest(nil, request, 7)
	out := []byte{0, 0, 0, 0, 0, 0, 0, 7}
	if response.IsFlexible() && key != 18 {
		out = append(out, 0)
	}
	out = response.AppendTo(out)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))

	// What a reader of this version sees.
	read := kmsg.RequestForKey(key)
	read.SetVersion(version)
	body := in[14+len("oracle"):]
	if read.IsFlexible() {
		body = body[1:]
	}
	if err := read.ReadFrom(body); err != nil {
		t.Fatalf("franz-go cannot read its request: %v", err)
	}
	seen := read.ResponseKind()
	seen.SetVersion(version)
	body = out[8:]
	if seen.IsFlexible() && key != 18 {
		body = body[1:]
	}
	if err := seen.ReadFrom(body); err != nil {
		t.Fatalf("franz-go cannot read its answer: %v", err)
	}
	var topics, groups []string
	var codes []int16
	kafkaFields(reflect.ValueOf(read).Elem(), "", &topics, &groups, nil)
	kafkaFields(reflect.ValueOf(seen).Elem(), "", nil, nil, &codes)
	target := strings.Join(topics, ",")
	if target == "" {
		target = strings.Join(groups, ",")
	}
	code := 0
	if i := slices.IndexFunc(codes, func(c int16) bool { return c != 0 }); i >= 0 {
		code = int(codes[i])
	}
	got, err := parsetest.Decode(&kafka.Protocol, parsetest.Session{
		{Dir: record.In, At: parsetest.Start, Data: in}, {Dir: record.Out, At: parsetest.Start, Data: out},
	}, true)
	if err != nil || len(got.Calls) != 1 {
		t.Fatalf("%v, calls:\n%s", err, parsetest.Text(got.Calls))
	}
	c := got.Calls[0]
	if c.Target != target || c.Status != fmt.Sprint(code) || c.Code != code || c.Failed != (code != 0) || c.Incomplete != 0 {
		t.Errorf("target %q, status %q, %v; want %q, %d\n%+v\n%+v", c.Target, c.Status, c.Incomplete.Words(), target, code, read, seen)
	}
}

// fill sets a value to something that can be written.
func fill(v reflect.Value, random *rand.Rand, name string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Name != "UnknownTags" && f.Name != "Version" {
				fill(v.Field(i), random, f.Name)
			}
		}
	case reflect.Pointer:
		if random.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), random, name)
		}
	case reflect.Slice:
		n := random.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), random, name)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), random, name)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%s-%d", strings.ToLower(name), random.IntN(3)))
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat(random.Float64())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := int64(random.IntN(4))
		if name == "ErrorCode" {
			n = int64(random.IntN(3) / 2 * 41)
		}
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(1 + random.IntN(255)))
	}
}

// kafkaFields collects the values of a message that matter.
func kafkaFields(v reflect.Value, name string, topics, groups *[]string, codes *[]int16) {
	add := func(list *[]string, s string) {
		if list != nil && s != "" && (list == groups || !slices.Contains(*list, s)) {
			*list = append(*list, s)
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		resource := ""
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || strings.HasPrefix(f.Name, "Forgotten") {
				continue
			}
			if f.Name == "ResourceType" {
				resource = strconv.Itoa(int(v.Field(i).Int()))
			}
			if f.Name == "ResourceName" && resource == "2" && reflect.Indirect(v.Field(i)).IsValid() {
				add(topics, reflect.Indirect(v.Field(i)).String())
			}
			kafkaFields(v.Field(i), f.Name, topics, groups, codes)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			kafkaFields(v.Elem(), name, topics, groups, codes)
		}
	case reflect.Slice:
		for i := range v.Len() {
			kafkaFields(v.Index(i), name, topics, groups, codes)
		}
	case reflect.Array:
		if id := v.Interface().([16]byte); strings.HasPrefix(name, "TopicID") && id != [16]byte{} {
			add(topics, base64.RawURLEncoding.EncodeToString(id[:]))
		}
	case reflect.String:
		switch name {
		case "Topic", "TopicNames":
			add(topics, v.String())
		case "Group", "GroupID", "Groups", "CoordinatorKey", "CoordinatorKeys":
			add(groups, v.String())
		}
	case reflect.Int16:
		if codes != nil && (name == "ErrorCode" || name == "AcknowledgeErrorCode") {
			*codes = append(*codes, int16(v.Int()))
		}
	}
}
