package main

// Packages that register themselves with MOSN when they are imported. The list is
// that of MOSN's own main without filter/stream/seata, which does not build, and
// with the recorder.
import (
	// The flight recorder: network filter, portrait stream filter, admin requests.
	_ "mosn.io/tcpcopy/pkg/filter/network/tcpcopy"

	// xDS, and the stream filters that Istio 1.10 configures through it.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "mosn.io/mosn/istio/istio1106/filter/stream/jwtauthn"
	_ "mosn.io/mosn/istio/istio1106/filter/stream/mixer"
	_ "mosn.io/mosn/istio/istio1106/filter/stream/stats"
	_ "mosn.io/mosn/istio/istio1106/sds"
	_ "mosn.io/mosn/istio/istio1106/xds"

	// Admin, signals, metrics.
	_ "mosn.io/mosn/pkg/admin/debug"
	_ "mosn.io/mosn/pkg/metrics/sink"
	_ "mosn.io/mosn/pkg/metrics/sink/prometheus"
	_ "mosn.io/mosn/pkg/server/keeper"

	// Listener and network filters.
	_ "mosn.io/mosn/pkg/filter/listener/originaldst"
	_ "mosn.io/mosn/pkg/filter/network/connectionmanager"
	_ "mosn.io/mosn/pkg/filter/network/proxy"
	_ "mosn.io/mosn/pkg/filter/network/streamproxy"
	_ "mosn.io/mosn/pkg/filter/network/tunnel"

	// Stream filters.
	_ "mosn.io/mosn/pkg/filter/stream/dsl"
	_ "mosn.io/mosn/pkg/filter/stream/dubbo"
	_ "mosn.io/mosn/pkg/filter/stream/faultinject"
	_ "mosn.io/mosn/pkg/filter/stream/faulttolerance"
	_ "mosn.io/mosn/pkg/filter/stream/flowcontrol"
	_ "mosn.io/mosn/pkg/filter/stream/grpcmetric"
	_ "mosn.io/mosn/pkg/filter/stream/gzip"
	_ "mosn.io/mosn/pkg/filter/stream/headertometadata"
	_ "mosn.io/mosn/pkg/filter/stream/ipaccess"
	_ "mosn.io/mosn/pkg/filter/stream/mirror"
	_ "mosn.io/mosn/pkg/filter/stream/payloadlimit"
	_ "mosn.io/mosn/pkg/filter/stream/proxywasm"
	_ "mosn.io/mosn/pkg/filter/stream/transcoder/http2bolt"
	_ "mosn.io/mosn/pkg/filter/stream/transcoder/httpconv"

	// Protocols, routing, upstreams, tracing.
	_ "mosn.io/mosn/pkg/network"
	_ "mosn.io/mosn/pkg/protocol"
	_ "mosn.io/mosn/pkg/router"
	_ "mosn.io/mosn/pkg/stream/http"
	_ "mosn.io/mosn/pkg/stream/http2"
	_ "mosn.io/mosn/pkg/trace/jaeger"
	_ "mosn.io/mosn/pkg/trace/skywalking"
	_ "mosn.io/mosn/pkg/trace/skywalking/http"
	_ "mosn.io/mosn/pkg/upstream/healthcheck"
	_ "mosn.io/mosn/pkg/upstream/servicediscovery/dubbod"

	// WebAssembly extensions.
	_ "mosn.io/mosn/pkg/wasm/abi/proxywasm010"
	_ "mosn.io/mosn/pkg/wasm/abi/proxywasm020"
	_ "mosn.io/mosn/pkg/wasm/runtime/wasmer"
	_ "mosn.io/mosn/pkg/wasm/runtime/wazero"
)
