package main

import (
	"mosn.io/api"
	"mosn.io/mosn/pkg/log"
	"mosn.io/mosn/pkg/protocol"
	"mosn.io/mosn/pkg/protocol/xprotocol"
	"mosn.io/mosn/pkg/protocol/xprotocol/bolt"
	"mosn.io/mosn/pkg/protocol/xprotocol/boltv2"
	"mosn.io/mosn/pkg/protocol/xprotocol/dubbo"
	"mosn.io/mosn/pkg/protocol/xprotocol/dubbothrift"
	"mosn.io/mosn/pkg/protocol/xprotocol/tars"
	xstream "mosn.io/mosn/pkg/stream/xprotocol"
	"mosn.io/mosn/pkg/trace"
	tracehttp "mosn.io/mosn/pkg/trace/sofa/http"
	tracerpc "mosn.io/mosn/pkg/trace/sofa/xprotocol"
	tracebolt "mosn.io/mosn/pkg/trace/sofa/xprotocol/bolt"
	"mosn.io/mosn/pkg/trace/zipkin"
	"mosn.io/pkg/buffer"
)

// sofaTracer is the driver name that configurations use for SOFATracer; MOSN has
// no constant for it.
const sofaTracer = "SOFATracer"

// registerProtocols makes the RPC protocols known that MOSN leaves to its main to
// register (the HTTP ones register themselves).
func registerProtocols() {
	xprotocol.RegisterXProtocolAction(xstream.NewConnPool, xstream.NewStreamFactory, func(codec api.XProtocolCodec) {
		trace.RegisterTracerBuilder(sofaTracer, codec.ProtocolName(), tracerpc.NewTracer)
	})
	for _, codec := range []api.XProtocolCodec{
		&bolt.XCodec{}, &boltv2.XCodec{}, &dubbo.XCodec{}, &dubbothrift.XCodec{}, &tars.XCodec{},
	} {
		if err := xprotocol.RegisterXProtocolCodec(codec); err != nil {
			log.StartLogger.Errorf("[mosn] [start] register protocol %s: %v", codec.ProtocolName(), err)
		}
	}
	buffer.SetLogFunc(func(msg string) {
		log.DefaultLogger.Errorf("[iobuffer] %s", msg)
	})
}

// registerTracers makes the tracing drivers known that do not register themselves.
func registerTracers() {
	trace.RegisterDriver(sofaTracer, trace.NewDefaultDriverImpl())
	trace.RegisterDriver(zipkin.DriverName, zipkin.NewZipkinDriverImpl())

	tracerpc.RegisterDelegate(bolt.ProtocolName, tracebolt.Boltv1Delegate)
	tracerpc.RegisterDelegate(boltv2.ProtocolName, tracebolt.Boltv2Delegate)
	trace.RegisterTracerBuilder(sofaTracer, protocol.HTTP1, tracehttp.NewTracer)
	trace.RegisterTracerBuilder(zipkin.DriverName, protocol.HTTP1, zipkin.NewHttpTracer)
}
