package mix

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/TarsCloud/TarsGo/tars/protocol/codec"
	"github.com/TarsCloud/TarsGo/tars/protocol/res/requestf"

	"mosn.io/tcpcopy/internal/witness"
)

// tarsPacket returns a packet with its length in front.
func (r *run) tarsPacket(write func(*codec.Buffer) error) []byte {
	b := codec.NewBuffer()
	r.check(write(b))
	body := b.ToBytes()
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

// tarsID returns the id of a packet, the first integer with the tag 3 or 4.
func tarsID(f []byte) uint64 {
	var request requestf.RequestPacket
	if err := request.ReadFrom(codec.NewReader(f[4:])); err == nil && request.SServantName != "" {
		return uint64(uint32(request.IRequestId))
	}
	var response requestf.ResponsePacket
	if err := response.ReadFrom(codec.NewReader(f[4:])); err != nil {
		return 0
	}
	return uint64(uint32(response.IRequestId))
}

func signed(b []byte) []int8 {
	list := make([]int8, len(b))
	for i := range b {
		list[i] = int8(b[i])
	}
	return list
}

// tars returns a call.
func (r *run) tars(servant, function string, ret int32, body, result string, oneWay bool) exchange {
	id := r.on.rpc.nextID()
	request := requestf.RequestPacket{IVersion: 1, IRequestId: int32(id), SServantName: servant, SFuncName: function, SBuffer: signed([]byte(body)), ITimeout: 3000,
		Context: map[string]string{"trace": "1"}, Status: map[string]string{}}
	e := exchange{id: id, note: witness.Call{Protocol: "tars", Method: function, Target: servant, Service: servant, Status: fmt.Sprint(ret), Code: int(ret), Failed: ret != 0}}
	if oneWay {
		request.CPacketType = 1
		e.note.Status, e.note.Comment = "", "one way"
	} else {
		response := requestf.ResponsePacket{IVersion: 1, IRequestId: int32(id), IRet: ret, SBuffer: signed([]byte(result)), SResultDesc: map[bool]string{true: "it went wrong"}[ret != 0]}
		e.answer = r.tarsPacket(response.WriteTo)
	}
	e.request = r.tarsPacket(request.WriteTo)
	return e
}

func tarsScenarios() []scenario {
	const servant = "Shop.CartServer.CartObj"
	return []scenario{
		{"tars", "calls", func(r *run) {
			var calls []exchange
			for i := range 40 {
				calls = append(calls, r.tars(servant, "add", 0, fmt.Sprint("item ", i), "added", false), r.tars(servant, "list", 0, "", strings.Repeat("item", i), false))
			}
			r.exchanges("tars", 1, calls)
		}},
		{"tars", "errors", func(r *run) {
			var calls []exchange
			for _, ret := range []int32{-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12, -99, 0, 7, 100000} {
				calls = append(calls, r.tars(servant, "fail", ret, "x", "", false))
			}
			r.exchanges("tars", 1, calls)
		}},
		{"tars", "multiplexed", func(r *run) {
			var calls []exchange
			for i := range 60 {
				e := r.tars(servant, fmt.Sprint("f", i), 0, strings.Repeat("x", i*40), "ok", i%7 == 6)
				e.hesitate = i%7 == 2 && i%10 != 9
				calls = append(calls, e)
			}
			r.exchanges("tars", 10, calls)
		}},
		{"tars", "big", func(r *run) {
			r.exchanges("tars", 1, []exchange{
				r.tars(servant, "put", 0, strings.Repeat("0123456789", 200000), "ok", false),
				r.tars("A."+strings.Repeat("long", 100)+".Obj", "get", 0, "", strings.Repeat("\x10", 1000000), false),
				r.tars(servant, "small", 0, "", "", false),
			})
		}},
	}
}
