# `make` alone prints what there is.
.DEFAULT_GOAL := help

GO      ?= go
BIN     := bin/fanfare
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -X main.version=$(VERSION)
SEEDS   ?= 10000

.PHONY: help run build check js test tools bench soak fuzz tidy wire api clean

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build, and start `fanfare dev`: an unprotected node on this machine
	@$(BIN) dev

build: ## build bin/fanfare
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/fanfare

check: ## fast checks that need no broker: format, vet, wire, unit tests
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(GO) vet ./...
	@$(GO) tool wire diff . || { echo "wire_gen.go is not what wire.go says: run 'make wire'"; exit 1; }
	@$(GO) test -race -short ./domain/... ./ports/... ./adapters/auth/... ./adapters/metrics/... ./adapters/memory/... ./adapters/transport/... ./client/... ./publisher/... ./test/api/... ./test/arch/... ./test/cluster/... ./test/internal/... ./examples/... .

js: ## build clients/js and the page of `fanfare dev`; needs npm
	@cd clients/js && npm ci --ignore-scripts --silent && npm run --silent build

test: tools ## everything: installs or finds redis-server, rabbitmq-server, nginx, python3, node and chromium, then runs all tests
	@$(GO) vet ./...
	@$(GO) tool wire diff .
	@$(GO) test -race -count=1 -timeout 20m ./... # not from the cache, which does not know what binary test/e2e runs
	@$(GO) test -count=1 -timeout 10m ./test/sim
	@cd clients/js && npm run --silent check && npm test --silent
	@cd examples/ownbus && $(GO) vet ./... && $(GO) test -timeout 5m ./... # no -race: watermill-amqp reconnects with races of its own

tools: ## install or find what the tests need
	@scripts/tools

bench: ## benchmarks with allocations; the transports' need redis-server
	@$(GO) test -run '^$$' -bench . -benchmem ./...

soak: ## the simulator with 10,000 seeds
	@$(GO) test -timeout 3h ./test/sim -run NothingIsMissed -seeds $(SEEDS)

fuzz: ## each fuzz test for ten seconds
	@scripts/fuzz 10s

tidy: ## tidy every module: examples/ownbus follows what Fanfare requires
	@$(GO) mod tidy
	@cd examples/ownbus && $(GO) mod tidy

wire: ## write wire_gen.go anew
	@$(GO) tool wire gen .

api: ## list the supported API anew in test/api/testdata; name what changed in CHANGELOG.md
	@$(GO) test -count=1 ./test/api -update

clean: ## remove what was built
	@rm -rf bin .cache
