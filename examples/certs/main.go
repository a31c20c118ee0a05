// Command certs writes a self-signed certificate and its key for configs/tls.json,
// valid for a day:
//
//	go run ./examples/certs -dir configs/certs
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"mosn.io/tcpcopy/internal/devcert"
)

func main() {
	dir := flag.String("dir", "configs/certs", "`FOLDER` to write server.pem and server.key into")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintf(os.Stderr, "certs: %v\n", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	pair, err := devcert.New(time.Now())
	if err != nil {
		return err
	}
	cert, key, err := pair.Write(dir)
	if err != nil {
		return err
	}
	fmt.Println(cert, key)
	return nil
}
