package http2

import (
	"strconv"

	"mosn.io/tcpcopy/pkg/record"
)

// grpcNames are the names of gRPC's status codes
// (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
var grpcNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// Codes that clients derive where there is no grpc-status.
const (
	grpcCancelled         = 1
	grpcUnknown           = 2
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcInternal          = 13
	grpcUnavailable       = 14
	grpcUnauthenticated   = 16
)

func grpcName(code int) string {
	if code < len(grpcNames) {
		return grpcNames[code]
	}
	return strconv.Itoa(code)
}

// grpcOfReset returns the code that a client derives from that of RST_STREAM
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Errors").
func grpcOfReset(code uint32) int {
	switch code {
	case 7: // REFUSED_STREAM
		return grpcUnavailable
	case codeCancel:
		return grpcCancelled
	case 11: // ENHANCE_YOUR_CALM
		return grpcResourceExhausted
	case 12: // INADEQUATE_SECURITY
		return grpcPermissionDenied
	}
	return grpcInternal
}

// grpcOfHTTP returns the code that a client derives from a status of HTTP
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func grpcOfHTTP(status int) int {
	switch status {
	case 400:
		return grpcInternal
	case 401:
		return grpcUnauthenticated
	case 403:
		return grpcPermissionDenied
	case 404:
		return grpcUnimplemented
	case 429, 502, 503, 504:
		return grpcUnavailable
	}
	return grpcUnknown
}

// grpcStatus sets what became of a call of gRPC: by its grpc-status, or by what a client
// derives without one. unanswered says that no more of its answer will come.
func (p *parser) grpcStatus(st *stream, unanswered bool) {
	c := &st.call
	c.Status = ""
	code := st.grpcStatus
	switch {
	case code != noStatus:
	case !st.ended[record.Out]: // so that unknown fields are not of the trailers
		switch {
		case p.isResetKnown(st):
			code = grpcOfReset(st.code)
		case unanswered && p.isRefused(st):
			code = grpcUnavailable
		default:
			c.Failed = unanswered
			return
		}
	case st.unknown:
		return // it may have been there
	case st.status != 0:
		code = grpcOfHTTP(st.status)
	default:
		return
	}
	c.Status, c.Code, c.Failed = grpcName(code), code, code != 0
}
