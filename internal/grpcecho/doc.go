// Package grpcecho is a gRPC service that answers with what it receives. cmd/mosn
// registers it with MOSN's grpc network filter under the name ServerName, so that
// a listener can serve gRPC from inside the proxy, as Layotto serves its API. The
// end-to-end tests and configs/grpc.json call it.
//
// Its messages are google.protobuf.BytesValue and its service description is
// written by hand, so that nothing has to be generated:
//
//	service tcpcopy.Echo {
//	  rpc Echo(google.protobuf.BytesValue) returns (google.protobuf.BytesValue);
//	  rpc Chat(stream google.protobuf.BytesValue) returns (stream google.protobuf.BytesValue);
//	}
package grpcecho

// ServerName is the value of "server_name" in a listener's grpc filter.
const ServerName = "tcpcopy-echo"

// Full names of the service and its methods, as in the paths of requests.
const (
	ServiceName = "tcpcopy.Echo"
	EchoMethod  = "/" + ServiceName + "/Echo"
	ChatMethod  = "/" + ServiceName + "/Chat"
)
