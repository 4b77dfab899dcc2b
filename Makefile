# `make` lists what there is. Nothing has to be installed first but Go.

# Programs that scripts/setup unpacked for this checkout.
export PATH := $(CURDIR)/.belfry/bin:$(PATH)

go_files = find . -name '*.go' -not -path '*/node_modules/*' -not -path './.belfry/*'

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## start Belfry with a database of its own; flags go in ARGS="..."
	@scripts/setup
	@echo "Building Belfry (the first time takes a minute or two) ..."
	@go build -o .belfry/bin/belfry ./cmd/belfry
	@exec .belfry/bin/belfry dev $(ARGS)

test: ## check and test everything, on a real PostgreSQL and Redis
	@scripts/setup test
	@$(MAKE) --no-print-directory lint
	@scripts/gotest -race -timeout 20m ./...
	@echo "A thousand crashes and clock jumps, without the race detector (BELFRY_TEST_SEEDS=n for more) ..."
	go test -count 1 -run TestNothingGoesWrong ./engine
	@if scripts/setup browser; then set -e; \
		echo "The preference pages in Chromium, and the clients that people use ..."; (cd web && npm ci); \
		BELFRY_TEST_WEB=1 go test -count 1 -run 'InABrowser|RealClients' ./test ./realtime/graphqlws; \
		else echo "NOT RUN: pages and WebSockets have tests with a browser and npm clients: install what is missing"; fi
	@if command -v node >/dev/null; then node --test web/feed_test.mjs; \
		else echo "NOT RUN: the demo page's script has tests that need Node: install it"; fi
	@if [ -f bench/go.mod ]; then set -ex; cd bench; go vet ./...; go test ./...; fi

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$($(go_files) | xargs gofmt -l); \
		if [ -n "$$unformatted" ]; then echo "not formatted (run make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...

fmt: ## format the Go code
	@$(go_files) | xargs gofmt -w

generate: ## write the generated code again
	go generate ./...

browser: ## try the demo page of a running `make run` in Chromium; needs Node and Chromium
	cd web && npm ci && node browser_test.mjs http://localhost:8080/ --graphiql http://localhost:8080/graphiql/

web: ## bundle GraphiQL again; needs Node
	cd web && npm ci && npm run build

build: ## build bin/belfry, one static file
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/belfry ./cmd/belfry

conformance: ## compare templates with the data of the Liquid conformance suites in CONFORMANCE_DIR
	@test -d "$(CONFORMANCE_DIR)" || { echo "say where the suites are: make conformance CONFORMANCE_DIR=folder"; exit 1; }
	CONFORMANCE_DIR=$(abspath $(CONFORMANCE_DIR)) go test -count 1 -run Conformance -v ./workflow/template

bench: ## measure, each figure beside a baseline
	@scripts/setup test
	@cd bench && go run . $(ARGS)

clean: ## remove what was built; the database of `make run` stays in .belfry
	rm -rf bin

.PHONY: help run test lint fmt generate browser web build conformance bench clean
