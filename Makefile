# What people do with this repository. Needs Go and make; everything else is
# fetched as Go modules or made on the spot. There are two modules: the filter's
# in this folder, and tcpcopyctl's in tool/, which needs a newer Go.

GO         ?= go
CONFIG     ?= http
GRPC_ADDRESS ?= 127.0.0.1:2047
BENCHTIME  ?= 200ms
BENCHFLAGS ?=
VERSION    ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
DIST       ?= dist
DISTARCH   ?= amd64 arm64
DISTFLAGS  := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
GOLANGCI   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help
.PHONY: help build demo run grpc upstream dist test bench lint fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the commands into bin/
	$(GO) build -o bin/ -ldflags "-X main.version=$(VERSION)" ./cmd/...
	$(GO) build -C tool -o ../bin/ -ldflags "-X main.version=$(VERSION)" ./cmd/...

dist: ## build static mosn and tcpcopyctl for linux amd64 and arm64 into dist/, with SHA256SUMS and what Dockerfile copies
	rm -rf $(DIST)
	@set -e; umask 022; mkdir -p $(DIST)/home/admin/mosn/conf $(DIST)/home/admin/mosn/logs; \
	for arch in $(DISTARCH); do \
		export CGO_ENABLED=0 GOOS=linux GOARCH=$$arch GOAMD64=v1; \
		$(GO) build $(DISTFLAGS) -o $(DIST)/mosn-$(VERSION)-linux-$$arch ./cmd/mosn; \
		$(GO) build -C tool $(DISTFLAGS) -o $(abspath $(DIST))/tcpcopyctl-$(VERSION)-linux-$$arch ./cmd/tcpcopyctl; \
	done; \
	cd $(DIST); sha256sum mosn-* tcpcopyctl-* | tee SHA256SUMS

demo: ## record real HTTP traffic through a real MOSN and show the recording
	@$(GO) build -C tool -o ../bin/ -ldflags "-X main.version=$(VERSION)" ./cmd/...
	$(GO) run ./examples/demo

run: build configs/certs/server.pem ## run MOSN with configs/$(CONFIG).json until Ctrl-C and say what to do next; CONFIG=tcp, tls, http, grpc, unix, udp
	@$(GO) build -o bin/ ./examples/run ./examples/grpcclient
	@bin/run -config configs/$(CONFIG).json

grpc: ## call the gRPC service of `make run CONFIG=grpc`, in a second terminal
	@$(GO) run ./examples/grpcclient -address $(GRPC_ADDRESS)

upstream: ## run the servers that the configurations proxy to, where make run is not to do it
	@$(GO) run ./examples/upstream

# Certificates are good for a day and never committed.
configs/certs/server.pem: FORCE
	@$(GO) run ./examples/certs -dir configs/certs >/dev/null
FORCE:

test: ## go vet and all tests, the end-to-end ones included
	$(GO) vet ./...
	$(GO) vet -C tool ./...
	$(GO) test -C tool ./...
	$(GO) test -timeout 20m ./...

bench: ## benchmarks of the paths, then what recording costs end to end, into bench/results.md
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem ./pkg/... ./internal/...
	$(GO) test -C tool -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem ./...
	$(GO) run ./bench -out bench/results.md $(BENCHFLAGS)

lint: ## formatting and the linters of .golangci.yml
	@unformatted=$$(gofmt -l $$(find . -name '*.go' -not -path './.git/*')); \
		if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -C tool ./...
	$(GO) run $(GOLANGCI) run ./...
	$(GO) run -C tool $(GOLANGCI) run ./...

fmt: ## gofmt everything
	gofmt -w $$(find . -name '*.go' -not -path './.git/*')

clean: ## remove what the other targets made, and the recordings of make run
	rm -rf bin dist logs configs/certs configs/*.sock
