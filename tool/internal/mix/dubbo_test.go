package mix

import (
	"errors"
	"fmt"
	"strings"
	"time"

	hessian "github.com/apache/dubbo-go-hessian2"

	"mosn.io/tcpcopy/internal/witness"
)

// dubboStatuses are the names that Dubbo has for the statuses of answers
// (org.apache.dubbo.remoting.exchange.Response).
var dubboStatuses = map[byte]string{
	20: "OK", 30: "CLIENT_TIMEOUT", 31: "SERVER_TIMEOUT", 40: "BAD_REQUEST", 50: "BAD_RESPONSE", 60: "SERVICE_NOT_FOUND",
	70: "SERVICE_ERROR", 80: "SERVER_ERROR", 90: "CLIENT_ERROR", 100: "SERVER_THREADPOOL_EXHAUSTED_ERROR",
}

// dubbo returns a call. result is what the method returns; an error is an exception.
func (r *run) dubbo(service, method string, status byte, result any, args ...any) exchange {
	id := r.on.rpc.nextID()
	codec := hessian.NewHessianCodec(nil)
	request, err := codec.Write(hessian.Service{Path: service, Interface: service, Version: "1.0.0", Group: "g", Method: method, Timeout: time.Second},
		hessian.DubboHeader{SerialID: 2, Type: hessian.PackageRequest_TwoWay, ID: int64(id)}, args)
	r.check(err)
	answer, err := codec.Write(hessian.Service{}, hessian.DubboHeader{SerialID: 2, Type: hessian.PackageResponse, ID: int64(id), ResponseStatus: status}, result)
	r.check(err)
	_, exception := result.(error)
	return exchange{id: id, request: request, answer: answer, note: witness.Call{
		Protocol: "dubbo", Method: method, Target: service, Service: service,
		Status: dubboStatuses[status], Code: int(status), Failed: status != 20 || exception,
		Comment: map[bool]string{true: "the answer has an exception"}[exception && status == 20],
	}}
}

func dubboScenarios() []scenario {
	const service = "com.example.shop.Cart"
	return []scenario{
		{"dubbo", "calls", func(r *run) {
			var calls []exchange
			for i := range 20 {
				calls = append(calls,
					r.dubbo(service, "add", 20, "added", fmt.Sprint("item ", i), i, true),
					r.dubbo(service, "list", 20, []any{"a", int64(i), nil, 1.5}),
					r.dubbo(service, "map", 20, map[any]any{"k": "v"}, map[any]any{"x": int32(1)}),
					r.dubbo(service, "nothing", 20, nil))
			}
			r.exchanges("dubbo", 1, calls)
		}},
		{"dubbo", "errors", func(r *run) {
			var calls []exchange
			for status := range dubboStatuses {
				calls = append(calls, r.dubbo(service, "fail", status, errors.New("it went wrong"), "x"))
			}
			r.exchanges("dubbo", 1, append(calls, r.dubbo(service, "ok", 20, "ok")))
		}},
		{"dubbo", "multiplexed", func(r *run) {
			var calls []exchange
			for i := range 60 {
				e := r.dubbo("com.example.Other$Inner", fmt.Sprint("method", i), 20, strings.Repeat("x", i*100), i)
				e.hesitate = i%3 == 1 && i%10 != 9 // a later one must come
				calls = append(calls, e)
			}
			r.exchanges("dubbo", 10, calls)
		}},
		{"dubbo", "oneway-heartbeat", func(r *run) {
			codec := hessian.NewHessianCodec(nil)
			var calls []exchange
			for i := range 10 {
				id := r.on.rpc.nextID()
				request, err := codec.Write(hessian.Service{}, hessian.DubboHeader{SerialID: 2, Type: hessian.PackageHeartbeat, ID: int64(id)}, []any{})
				r.check(err)
				answer, err := codec.Write(hessian.Service{}, hessian.DubboHeader{SerialID: 2, Type: hessian.PackageHeartbeat, ID: int64(id), ResponseStatus: 20}, nil)
				r.check(err)
				calls = append(calls, exchange{id: id, request: request, answer: answer, note: witness.Call{Protocol: "dubbo", Method: "heartbeat", Status: "OK", Code: 20, Comment: "a heartbeat"}})

				id = r.on.rpc.nextID()
				request, err = codec.Write(hessian.Service{Path: service, Version: "2", Method: "log"}, hessian.DubboHeader{SerialID: 2, Type: hessian.PackageRequest, ID: int64(id)}, []any{fmt.Sprint("line ", i)})
				r.check(err)
				calls = append(calls, exchange{id: id, request: request, note: witness.Call{Protocol: "dubbo", Method: "log", Target: service, Service: service, Comment: "one way"}})
				calls = append(calls, r.dubbo(service, "add", 20, "added", i))
			}
			r.exchanges("dubbo", 1, calls)
		}},
		{"dubbo", "big", func(r *run) {
			r.exchanges("dubbo", 1, []exchange{
				r.dubbo(service, "put", 20, "ok", strings.Repeat("0123456789", 300000)),
				r.dubbo(service, "get", 20, strings.Repeat("ünïcode ", 200000), "all"),
				r.dubbo(service, "small", 20, "ok"),
			})
		}},
	}
}
