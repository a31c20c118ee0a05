package main

import (
	"encoding/json"

	googlegrpc "google.golang.org/grpc"
	"mosn.io/mosn/pkg/filter/network/grpc"
	"mosn.io/tcpcopy/internal/grpcecho"
)

// registerGRPC gives the grpc filter its one server; the filter starts it for
// each listener that names it.
func registerGRPC() {
	grpc.RegisterServerHandler(grpcecho.ServerName, func(_ json.RawMessage, options ...googlegrpc.ServerOption) (grpc.RegisteredServer, error) {
		return grpcecho.NewServer(options...), nil
	})
}
