package mix

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"

	"mosn.io/tcpcopy/internal/witness"
)

// thriftKind is a way to encode messages of Thrift in frames.
type thriftKind struct {
	name     string
	protocol func(thrift.TTransport) thrift.TProtocol
	dubbo    bool // with the header of Dubbo
}

func thriftKinds() []thriftKind {
	binary := func(strict bool) func(t thrift.TTransport) thrift.TProtocol {
		return func(t thrift.TTransport) thrift.TProtocol {
			return thrift.NewTBinaryProtocolConf(t, &thrift.TConfiguration{TBinaryStrictWrite: &strict, TBinaryStrictRead: &strict})
		}
	}
	return []thriftKind{
		{"binary", binary(true), false},
		{"old-binary", binary(false), false},
		{"compact", func(t thrift.TTransport) thrift.TProtocol { return thrift.NewTCompactProtocolConf(t, nil) }, false},
		{"dubbo", binary(true), true},
	}
}

// thriftID returns the sequence number of a message in a frame, or the id of Dubbo.
func thriftID(f []byte) uint64 {
	b := f[4:]
	if binary.BigEndian.Uint16(b) == 0xdabc {
		head := int(binary.BigEndian.Uint16(b[6:]))
		return binary.BigEndian.Uint64(b[head-8:])
	}
	for _, k := range thriftKinds() {
		p := k.protocol(&thrift.TMemoryBuffer{Buffer: bytes.NewBuffer(b)})
		isCompact, isOld := b[0] == 0x82, b[0] == 0
		if isCompact != (k.name == "compact") || isOld != (k.name == "old-binary") {
			continue
		}
		if _, _, seq, err := p.ReadMessageBegin(context.Background()); err == nil {
			return uint64(uint32(seq))
		}
	}
	return 0
}

const dubboThriftService = "com.example.Shop$Iface"

// frame returns a message in a frame.
func (k thriftKind) frame(r *run, method string, kind thrift.TMessageType, id uint64, body func(p thrift.TProtocol) error) []byte {
	ctx := context.Background()
	buffer := thrift.NewTMemoryBuffer()
	p := k.protocol(buffer)
	if k.dubbo {
		buffer.Write([]byte{0xda, 0xbc})
		r.check(p.WriteI32(ctx, math.MaxInt32))
		r.check(p.WriteI16(ctx, math.MaxInt16))
		r.check(p.WriteByte(ctx, 1))
		r.check(p.WriteString(ctx, dubboThriftService))
		r.check(p.WriteI64(ctx, int64(id)))
		r.check(p.Flush(ctx))
	}
	head := buffer.Len()
	r.check(p.WriteMessageBegin(ctx, method, kind, int32(id)))
	r.check(body(p))
	r.check(p.WriteMessageEnd(ctx))
	r.check(p.Flush(ctx))
	b := buffer.Bytes()
	if k.dubbo {
		binary.BigEndian.PutUint32(b[2:], uint32(len(b)))
		binary.BigEndian.PutUint16(b[6:], uint16(head))
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// thriftStruct writes a struct with one string.
func thriftStruct(id int16, text string) func(thrift.TProtocol) error {
	return func(p thrift.TProtocol) error {
		ctx := context.Background()
		for _, step := range []func() error{
			func() error { return p.WriteStructBegin(ctx, "s") },
			func() error { return p.WriteFieldBegin(ctx, "f", thrift.STRING, id) },
			func() error { return p.WriteString(ctx, text) },
			func() error { return p.WriteFieldEnd(ctx) },
			func() error { return p.WriteFieldStop(ctx) },
			func() error { return p.WriteStructEnd(ctx) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}
}

// thriftException writes a result whose declared exception, the field 1, is set.
func thriftException(p thrift.TProtocol) error {
	ctx := context.Background()
	if err := p.WriteStructBegin(ctx, "result"); err != nil {
		return err
	}
	if err := p.WriteFieldBegin(ctx, "e", thrift.STRUCT, 1); err != nil {
		return err
	}
	if err := thriftStruct(1, "sold out")(p); err != nil {
		return err
	}
	return p.WriteFieldStop(ctx)
}

// thrift returns a call. The kind of the answer is REPLY, EXCEPTION, or 0 for none.
func (r *run) thrift(k thriftKind, method, text string, answer thrift.TMessageType, body func(thrift.TProtocol) error) exchange {
	id := r.on.rpc.nextID()
	kind := thrift.CALL
	e := exchange{id: id, note: witness.Call{Protocol: "thrift", Method: method, Status: "OK"}}
	switch answer {
	case thrift.EXCEPTION:
		e.note.Status, e.note.Failed, e.note.Comment = "EXCEPTION", true, "an application exception: type 6, INTERNAL_ERROR"
	case thrift.ONEWAY:
		kind, e.note.Status, e.note.Comment = thrift.ONEWAY, "", "one way"
	}
	if k.dubbo {
		e.note.Target, e.note.Service, e.note.Comment = dubboThriftService, dubboThriftService, "tshark cannot read Dubbo's header"
	}
	e.request = k.frame(r, method, kind, id, thriftStruct(1, text))
	if answer != thrift.ONEWAY {
		e.answer = k.frame(r, method, answer, id, body)
	}
	return e
}

func thriftScenarios() []scenario {
	var list []scenario
	for _, k := range thriftKinds() {
		list = append(list,
			scenario{"thrift", k.name + "-calls", func(r *run) {
				var calls []exchange
				for i := range 30 {
					calls = append(calls,
						r.thrift(k, "add", fmt.Sprint("item ", i), thrift.REPLY, thriftStruct(0, "added")),
						r.thrift(k, "list", "", thrift.REPLY, thriftStruct(0, strings.Repeat("item", i))))
					if !k.dubbo { // MOSN decodes a request of one way as an answer
						calls = append(calls, r.thrift(k, "log", "line", thrift.ONEWAY, nil))
					}
				}
				r.exchanges("thrift", 1, calls)
			}},
			scenario{"thrift", k.name + "-exceptions", func(r *run) {
				var calls []exchange
				for range 10 {
					e := r.thrift(k, "buy", "x", thrift.REPLY, thriftException)
					e.note.Status, e.note.Failed, e.note.Comment = "EXCEPTION", true, "a declared exception: field 1 of the result"
					calls = append(calls, e, r.thrift(k, "fail", "x", thrift.EXCEPTION, func(p thrift.TProtocol) error {
						return thrift.NewTApplicationException(thrift.INTERNAL_ERROR, "it went wrong").Write(context.Background(), p)
					}))
				}
				r.exchanges("thrift", 1, calls)
			}},
			scenario{"thrift", k.name + "-multiplexed", func(r *run) {
				var calls []exchange
				for i := range 60 {
					e := r.thrift(k, fmt.Sprint("method", i), strings.Repeat("x", i*40), thrift.REPLY, thriftStruct(0, strings.Repeat("y", i*100)))
					e.hesitate = i%3 == 1 && i%10 != 9
					calls = append(calls, e)
				}
				r.exchanges("thrift", 10, calls)
			}},
			scenario{"thrift", k.name + "-big", func(r *run) {
				r.exchanges("thrift", 1, []exchange{
					r.thrift(k, "put", strings.Repeat("0123456789", 200000), thrift.REPLY, thriftStruct(0, "ok")),
					r.thrift(k, "get", "all", thrift.REPLY, thriftStruct(0, strings.Repeat("\x80\x01", 700000))),
					r.thrift(k, "small", "", thrift.REPLY, thriftStruct(0, "")),
				})
			}})
	}
	return list
}
