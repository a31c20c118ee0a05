package mix

import (
	"fmt"
	"strings"

	"mosn.io/tcpcopy/internal/witness"
)

// boltStatuses are the names that SOFABolt has for the statuses of answers
// (com.alipay.remoting.ResponseStatus).
var boltStatuses = map[uint32]string{
	0: "SUCCESS", 1: "ERROR", 2: "SERVER_EXCEPTION", 3: "UNKNOWN", 4: "SERVER_THREADPOOL_BUSY", 5: "ERROR_COMM", 6: "NO_PROCESSOR", 7: "TIMEOUT",
	8: "CLIENT_SEND_ERROR", 9: "CODEC_EXCEPTION", 16: "CONNECTION_CLOSED", 17: "SERVER_SERIAL_EXCEPTION", 18: "SERVER_DESERIAL_EXCEPTION",
}

// bolt returns a call. version is "bolt" or "boltv2".
func (r *run) bolt(version, service string, status uint32, body, result string, change func(request, answer *witness.Frame)) exchange {
	id := r.on.rpc.nextID()
	request := witness.Frame{Request: true, ID: id, Class: "com.alipay.sofa.rpc.core.request.SofaRequest", Body: []byte(body), Headers: map[string]string{"sofa_head_method_name": "buy", "rpc_trace_context.sofaRpcId": "0"}}
	if service != "" {
		request.Headers["service"] = service
		request.Headers["sofa_head_target_service"] = service
	}
	answer := witness.Frame{ID: id, Status: status, Class: "com.alipay.sofa.rpc.core.response.SofaResponse", Body: []byte(result), Headers: map[string]string{"k": "v"}}
	note := witness.Call{Protocol: "bolt", Method: "REQUEST", Target: service, Service: service, Status: boltStatuses[status], Code: int(status), Failed: status != 0}
	if change != nil {
		change(&request, &answer)
	}
	if service == "" {
		note.Target = request.Class
	}
	encoded := r.on.rpc.mosn.encode(r, version, request, answer)
	e := exchange{id: id, request: encoded[0], answer: encoded[1], note: note}
	if request.OneWay {
		e.answer, e.note.Status, e.note.Code, e.note.Comment, e.note.Method = nil, "", 0, "one way", "ONEWAY"
	}
	if request.Heartbeat {
		e.note.Comment, e.note.Method = "a heartbeat", "HEARTBEAT"
	}
	return e
}

func boltScenarios() []scenario {
	var list []scenario
	const service = "com.example.Shop:1.0"
	for _, version := range []string{"bolt", "boltv2"} {
		list = append(list,
			scenario{"bolt", version + "-calls", func(r *run) {
				var calls []exchange
				for i := range 30 {
					calls = append(calls,
						r.bolt(version, service, 0, fmt.Sprint("request ", i), fmt.Sprint("answer ", i), nil),
						r.bolt(version, "", 0, "", "", func(request, answer *witness.Frame) { request.Headers, answer.Headers, answer.Body = nil, nil, nil }))
				}
				r.exchanges("bolt", 1, calls)
			}},
			scenario{"bolt", version + "-errors", func(r *run) {
				var calls []exchange
				for status := range boltStatuses {
					calls = append(calls, r.bolt(version, service, status, "x", "reason", nil))
				}
				r.exchanges("bolt", 1, calls)
			}},
			scenario{"bolt", version + "-multiplexed", func(r *run) {
				var calls []exchange
				for i := range 60 {
					e := r.bolt(version, service, 0, strings.Repeat("x", i*50), strings.Repeat("y", i*70), nil)
					e.hesitate = i%3 == 1 && i%10 != 9 // a later one must come
					calls = append(calls, e)
				}
				r.exchanges("bolt", 10, calls)
			}},
			scenario{"bolt", version + "-oneway-heartbeat", func(r *run) {
				var calls []exchange
				for i := range 10 {
					calls = append(calls,
						r.bolt(version, service, 0, fmt.Sprint(i), "", func(request, _ *witness.Frame) { request.OneWay = true }),
						r.bolt(version, "", 0, "", "", func(request, answer *witness.Frame) {
							for _, f := range []*witness.Frame{request, answer} {
								f.Heartbeat, f.Class, f.Headers, f.Body = true, "", nil, nil
							}
						}),
						r.bolt(version, service, 0, "request", "answer", nil))
				}
				r.exchanges("bolt", 1, calls)
			}},
			scenario{"bolt", version + "-big", func(r *run) {
				r.exchanges("bolt", 1, []exchange{
					r.bolt(version, service, 0, strings.Repeat("0123456789", 300000), "ok", nil),
					r.bolt(version, service, 0, "", strings.Repeat("\x01\x00\x02", 500000), nil),
					r.bolt(version, service, 0, "", "", nil),
				})
			}})
	}
	return list
}
