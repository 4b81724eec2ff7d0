# `make` alone prints what there is.
.DEFAULT_GOAL := help

GO      ?= go
BIN     := bin/fanfare
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -X main.version=$(VERSION)
SEEDS   ?= 10000
TOOLS   ?= yes
ROWS    ?=
ROUNDS  ?= 3
QUICK   ?= no

export TOOLS

.PHONY: help run build check js test tools bench microbench soak fuzz tidy manifests wire api docs release clean

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build, and start `fanfare dev`: an unprotected node on this machine
	@$(BIN) dev

build: ## build bin/fanfare
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/fanfare

# All packages are tested. What makes this fast is -short: test/broker then skips
# every test that would start a broker, and tests that take minutes or need a browser
# skip themselves. Each says why (go test -short -v shows it), and none is listed here.
check: ## fast checks that need no broker: format, vet, staticcheck, wire, unit tests, bounds on lines and files
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	@$(GO) vet ./...
	@$(GO) tool staticcheck ./...
	@$(GO) tool wire diff . || { echo "wire_gen.go is not what wire.go says: run 'make wire'"; exit 1; }
	@$(GO) test -race -short ./...
	@echo "check: left out with -short: tests that start a broker, test/e2e, and the mutations of test/sim and test/conformance; 'make test' runs them"

js: ## build clients/js, the page of `fanfare dev` and the console; needs npm
	@cd clients/js && npm ci --ignore-scripts --silent && npm run --silent build

test: tools ## everything; says first what it installs for that: TOOLS=no make test installs nothing, and names what is left out
	@$(GO) vet ./...
	@$(GO) tool wire diff .
	@$(GO) test -race -count=1 -timeout 20m ./test/e2e ./... # test/e2e first, since it takes longest; not from the cache, which does not know what binary it runs
	@$(GO) test -count=1 -timeout 10m ./test/sim
	@if [ '$(TOOLS)' = no ] && ! scripts/tools --has js; then echo "test: left out by TOOLS=no: the tests of clients/js"; \
		else cd clients/js && npm run --silent check && npm test --silent; fi
	@cd test/deploy/helm && $(GO) vet ./... && $(GO) test -count=1 -timeout 15m ./... # builds Helm, once
	@cd examples/ownbus && $(GO) vet ./... && $(GO) test -timeout 5m ./... # no -race: watermill-amqp reconnects with races of its own

tools: ## find what the tests need, and install what is missing
	@scripts/tools

bench: build ## measure nodes beside the limit and write docs/performance.md; needs redis-server. ROWS=fan-out,idle: some; QUICK=yes: once, shortly, and only print
	@$(GO) build -trimpath -o bin/limit ./test/bench/limit
	@$(GO) run ./test/bench/run -rows '$(ROWS)' -rounds $(ROUNDS) $(if $(filter yes,$(QUICK)),-quick)

microbench: ## Go's benchmarks of single packages, with allocations; the transports' need redis-server
	@$(GO) test -run '^$$' -bench . -benchmem ./...

soak: ## the simulator with 10,000 seeds
	@$(GO) test -timeout 3h ./test/sim -run NothingIsMissed -seeds $(SEEDS)

fuzz: ## each fuzz test for ten seconds
	@scripts/fuzz 10s

tidy: ## tidy every module: examples/ownbus follows what Fanfare requires
	@$(GO) mod tidy
	@cd examples/ownbus && $(GO) mod tidy
	@cd test/deploy/helm && $(GO) mod tidy

manifests: ## make deploy/kubernetes anew from the chart, and the chart's copies of alerts and dashboard
	@cd test/deploy/helm && $(GO) test -count=1 ./... -run 'Manifests|AlertsAndTheDashboard' -args -update

wire: ## write wire_gen.go anew
	@$(GO) tool wire gen .

api: ## list the supported API anew in test/api/testdata; name what changed in CHANGELOG.md
	@$(GO) test -count=1 ./test/api -update

docs: ## write docs/settings.md and deploy/fanfare.yaml anew from the settings in the code
	@$(GO) test -count=1 ./cmd/fanfare/internal/settings -run Generated -update

release: ## build what a release consists of into dist/: archives, lists of contents, checksums
	@$(GO) run ./scripts/release build

clean: ## remove what was built
	@rm -rf bin dist .cache
