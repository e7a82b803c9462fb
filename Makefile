# dormant: `make demo` shows the whole job, `make test` proves it, `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

BIN      := bin/dormant
ISOLATE  := $(CURDIR)/bin/isolate
FUZZTIME ?= 30s
RUNS     ?= 5
# The race detector needs a C compiler; without one the tests run without it.
RACE := $(if $(shell command -v $$(go env CC) 2>/dev/null),-race)

.PHONY: help build demo demo-sites test net vet fuzz bench bench-peers bench-fleet beside-nmap beside-nmap-programs rules golden cover dist dist-again dist-check clean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(BIN) ## bin/dormant, one static binary
$(BIN): FORCE
	@CGO_ENABLED=0 go build -trimpath -buildvcs=auto -o $@ ./cmd/dormant
$(ISOLATE): FORCE
	@CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/internal/isolate

# The hosts of the emulated network, as a user would write them.
DEMO_TARGETS := 127.77.0.10-14 127.77.0.20-23 127.77.0.30-33 127.77.0.40-43 127.77.0.50-52

demo: $(BIN) ## the main job on an emulated network on loopback, without root: table, audit.csv, audit.html
	@dir=$$(mktemp -d); \
	$(BIN) lab --quiet --ready-file $$dir/ready >$$dir/lab.log 2>&1 & lab=$$!; \
	trap 'kill $$lab 2>/dev/null; wait $$lab 2>/dev/null || true; rm -rf $$dir' EXIT; \
	for i in $$(seq 100); do [ -e $$dir/ready ] && break; sleep 0.1; done; \
	[ -e $$dir/ready ] || { cat $$dir/lab.log >&2; exit 1; }; \
	echo "\$$ dormant scan $(DEMO_TARGETS) -o audit.csv -o audit.html"; \
	XDG_STATE_HOME=$$dir $(BIN) scan $(DEMO_TARGETS) -o audit.csv -o audit.html # the demo is no part of your history

demo-sites: $(BIN) ## server and two agents over two emulated sites, without root: a table, audit-SITE.csv and .html for each; WEB=1 keeps the web page until Ctrl-C
	@PATH="$(CURDIR)/bin:$$PATH" WEB='$(WEB)' cmd/dormant/examples/demo-sites.sh

test: $(ISOLATE) ## every test, each package in a network namespace of its own without a way out
	@if ! $(ISOLATE) true; then echo "make test: no network namespaces here: running on plain loopback, the namespace tests are skipped" >&2; \
	  go test $(RACE) -shuffle=on -timeout 20m ./...; \
	else go test $(RACE) -shuffle=on -timeout 20m -exec $(ISOLATE) ./...; fi

net: $(ISOLATE) ## the namespace tests only; fails where namespaces are forbidden
	DORMANT_REQUIRE_NETNS=1 go test -count=1 -exec $(ISOLATE) ./scanner/... ./cmd/...

vet: ## gofmt, go vet, staticcheck (all checks), go mod tidy
	@test -z "$$(gofmt -l .)" || { echo "gofmt these:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck -checks all ./...
	go mod tidy -diff

# Before Go 1.27 the end of FUZZTIME can come as a bare "context deadline exceeded" (golang/go#75804): then once more.
fuzz: ## every fuzz target for FUZZTIME (default 30s); a package is built once for all of its targets
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	try() { (cd "$$1" && $$dir/fuzz.test -test.run '^$$' -test.fuzz "^$$2\$$" -test.fuzztime $(FUZZTIME) -test.fuzzcachedir $$dir/cache) 2>&1 | tee $$dir/said; }; \
	late() { grep -q '^ *context deadline exceeded$$' $$dir/said && ! grep -q 'Failing input written' $$dir/said; }; \
	grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u | while read -r pkg; do \
	  go test -c -fuzz=. -o $$dir/fuzz.test "$$pkg"; \
	  (cd "$$pkg" && $$dir/fuzz.test -test.list '^Fuzz') | grep '^Fuzz' | while read -r target; do echo "== $$pkg $$target"; \
	    try "$$pkg" "$$target" || { late && try "$$pkg" "$$target"; }; done; done

bench: ## the Go benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem ./...

# JOBS chooses by words in the jobs' names: JOBS=dark,udp.
bench-peers: $(BIN) $(ISOLATE) ## RUNS=5 alternated runs against Debian's masscan and zmap, in a network of its own: the ratio table (RUNS=1: two minutes)
	@CGO_ENABLED=0 go build -o bin/benchlab ./cmd/internal/benchlab
	@$(ISOLATE) bin/benchlab -runs $(RUNS) -dormant $(BIN) -jobs '$(JOBS)'

bench-fleet: $(BIN) $(ISOLATE) ## one agent against two, and 100 agents with a million findings to one server, with SQLite and with PostgreSQL (half an hour)
	DORMANT_BENCH_FLEET=1 DORMANT_BIN=$(CURDIR)/$(BIN) go test -count=1 -v -timeout 60m -exec $(ISOLATE) -run 'TestFleet(Throughput|Scale)' ./cmd/dormant

beside-nmap: $(ISOLATE) ## the table of the README: nmap and this program on the same running programs (minutes)
	DORMANT_BESIDE_NMAP=1 go test -count=1 -v -exec $(ISOLATE) -run TestBesideNmap ./cmd/dormant

beside-nmap-programs: $(ISOLATE) ## nmap -sV and this program on every installed server of the catalog (minutes); DORMANT_NPM lists folders of npm's commands
	DORMANT_BESIDE_NMAP=1 go test -count=1 -v -timeout 30m -exec $(ISOLATE) -run TestBesideNmapPrograms ./cmd/dormant

rules: $(BIN) ## every example of every fingerprint rule against all rules
	$(BIN) rules test

golden: ## write the golden files of the report formats again
	go test ./reports/... -update

cover: ## test coverage of every package
	go test -cover ./...

# MAINTAINER="name <address>" is for the packages, PLATFORMS=linux/amd64 for trying; SOURCE_DATE_EPOCH counts, too.
DIST = -version '$(VERSION)' -platforms '$(PLATFORMS)' $(if $(MAINTAINER),-maintainer '$(MAINTAINER)')
dist: ## dist/: archives for five platforms, Debian packages, a container's folder, SBOMs, SHA256SUMS (VERSION=1.2.3)
	@go run ./cmd/internal/dist -out dist $(DIST)

dist-again: dist ## build all of dist/ again, without the cache and elsewhere, and compare byte for byte (minutes)
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; umask 077; go build -o $$dir/again ./cmd/internal/dist; mkdir $$dir/tmp; \
	TMPDIR=$$dir/tmp GOCACHE=$$dir/cache TZ=Asia/Tokyo LC_ALL=C $$dir/again -out $$dir/dist $(DIST); \
	diff -r dist $$dir/dist && echo "dist-again: the same bytes"

dist-check: dist $(ISOLATE) ## install, unpack and run what is in dist/, with what this machine has of dpkg, lintian, systemd
	DORMANT_DIST=$(CURDIR)/dist go test -count=1 -v -exec $(ISOLATE) -run TestShipped ./cmd/internal/dist

clean: ## remove what was built
	rm -rf bin dist audit.csv audit.html audit-*.csv audit-*.html

FORCE:
