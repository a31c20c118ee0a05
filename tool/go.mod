module mosn.io/tcpcopy/tool

go 1.26

require (
	github.com/gopacket/gopacket v1.7.7
	github.com/mattn/go-isatty v0.0.24
	github.com/rogpeppe/go-internal v1.16.0
	github.com/spf13/cobra v1.8.1
	golang.org/x/sys v0.45.0
	golang.org/x/text v0.37.0
	mosn.io/tcpcopy v0.0.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/spf13/pflag v1.0.5 // indirect
	golang.org/x/net v0.55.0 // indirect
	golang.org/x/tools v0.44.0 // indirect
)

replace mosn.io/tcpcopy => ../
