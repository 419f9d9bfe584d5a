# Everything that is done to this repository, by name. `make help` lists it. `work` means the packages
# of every module that go.work names: the library, bench, cmd and tools.
# Only Go and make are needed for test, check, bench, sim, fuzz, figures and cross;
# race needs a C compiler, generate and verify-generated need protoc, bpf and verify-generated clang.

GO        ?= go
FUZZTIME ?= 30s

# Seeds of each simulated scenario: full, a number, a part such as 1/25, or nothing for a tenth of them.
SIM_SEEDS  ?= full

# The systems and processors that every change must build for.
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A test binary lives for seconds. Collecting the pools that each test makes anew took half of their time, so their heap
# is not collected below this size, nor that of the simulator below another. All other targets collect as programs do.
HEAP     = GOGC=off GOMEMLIMIT=1GiB
SIM_HEAP = GOGC=off GOMEMLIMIT=3GiB

# Test programs that are linked for one run: make check has vetted them, and no debugger looks at them.
ONCE = -count=1 -vet=off -ldflags=-w

# What make rig-test runs in full, and make test leaves to it.
RIGGED = /blaze/bench/(raw|rig|rigtest|grouptest)$$

.PHONY: test
test: ## the tests that a newcomer runs: fast; with root and AF_XDP those of the fast path too
	$(HEAP) $(GO) test -short $(ONCE) -timeout 600s $$($(GO) list work | grep -Ev '$(RIGGED)')
	@scripts/rig-test.sh --check

.PHONY: test-xdp
test-xdp: ## the channel's tests over AF_XDP, each member in a namespace of its own (needs root)
	BLAZE_TEST_DRIVER=xdp $(GO) test -short $(ONCE) -timeout 280s .

# The packages in which goroutines meet. A core runs in one, and so does what reads texts: under the race detector their
# tests take ten times as long and can find nothing. Only a copy of the held queues is read beside them.
CORES = /blaze/(sim|nack|totem|fec|wire|group|cluster|selector|jms/held|jms/link|docs|internal/(check|archtest|script))(/|$$)
RACED = ./... ./cmd/...
# What a user's computer runs; tools are for this repository.
PROGRAMS = ./... ./bench/... ./bench/clustertest/... ./bench/interop/... ./blazeprom/... ./cmd/... ./jms/jms20/... ./sim/linear/...

.PHONY: race
race: ## the tests of packages in which goroutines meet, under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short $(ONCE) -timeout 10m -run Beside ./jms/held
	CGO_ENABLED=1 $(GO) test -race -short $(ONCE) -timeout 10m $$($(GO) list $(RACED) | grep -Ev '$(CORES)')

.PHONY: rig-test
rig-test: ## what needs root, AF_XDP and networks of its own, at full length (some minutes)
	scripts/rig-test.sh

.PHONY: check
check: ## gofmt, vet, staticcheck, over all modules of go.work
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w is needed for:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet work
	$(GO) tool staticcheck work

.PHONY: jms20
jms20: ## IBM's own tests of its Go interfaces, downloaded, against Blaze: one holder in the process, then three elsewhere
	scripts/jms20.sh

.PHONY: clients
clients: ## members in other languages, and the C library: built and tested (scripts/clients-*.sh say what each needs)
	@set -e; for script in scripts/clients-*.sh; do $$script; done

.PHONY: tidy
tidy: ## go mod tidy for every module of go.work
	@scripts/tidy.sh

.PHONY: library
library: ## the library alone and tests of its parts, without go.work and with the oldest Go that it promises
	@scripts/library.sh

.PHONY: clients-node
clients-node: ## the member for Node: built, tested, packed, installed in an empty folder (needs Node 20 and npm)
	@scripts/clients-node.sh

# Which languages, and one of how many parts of the cells, drawn by the commit; INTEROP has further flags.
INTEROP_LANGUAGES ?= go,python,node,c
INTEROP_PART ?= 1

.PHONY: interop
interop: ## members of each language against each other, under loss, disorder and restarts, and slow ones (after make clients)
	$(GO) test $(ONCE) -timeout 120s ./bench/interop
	$(GO) run ./bench/interop run -languages $(INTEROP_LANGUAGES) -part $(INTEROP_PART) $(INTEROP)

.PHONY: allocs
allocs: ## the tests that hold hot paths to no allocation
	scripts/allocs.sh

.PHONY: bench
bench: allocs ## Go benchmarks, after the allocation tests
	$(GO) test -run '^$$' -bench . -benchmem work

.PHONY: sim
sim: ## the simulation, with all seeds of every scenario, and what the rings went through in them
	@tally=$$(mktemp); SIM_TALLY=$$tally SIM_SEEDS=$(SIM_SEEDS) $(SIM_HEAP) $(GO) test $(ONCE) -timeout 60m ./sim/... ./sim/linear ./internal/check/...; rc=$$?; \
		SIM_SEEDS=$(SIM_SEEDS) $(GO) test $(ONCE) -timeout 20m -run '^TestPairs$$' ./group || rc=1; \
		$(HEAP) $(GO) test $(ONCE) -timeout 20m -run '^Test(ExactlyOnce|ReportsOfNobody|LateJoiners)$$' ./nack || rc=1; \
		cat $$tally; rm -f $$tally; exit $$rc

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME
	FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

.PHONY: figures
figures: ## measure everything that bench/RESULTS.md states, and write it (quiet machine)
	$(GO) run ./cmd/blazebench figures

.PHONY: readme
readme: ## run the commands that README.md shows, and put their output there (quiet machine)
	scripts/readme-output.sh

.PHONY: bench-check
bench-check: ## counts and ratios of a short benchmark, with twice the slack
	$(GO) run ./cmd/blazebench check

.PHONY: cross
cross: ## build the commands, and vet everything with its tests, for every system and processor
	@set -e; for p in $(PLATFORMS); do \
		echo "$$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build ./cmd/blaze ./cmd/blazebench; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) vet $(PROGRAMS); \
	done

.PHONY: generate
generate: bpf ## generated code from wire/blaze.proto and the XDP filter (needs protoc and clang)
	@scripts/need-protoc.sh
	$(GO) generate ./wire
	protoc -Iwire -I/usr/include --python_out=clients/python/blaze/_generated blaze.proto

.PHONY: bpf
bpf: ## the XDP filter's object and its wrapper, after a change of bpf/*.c (needs clang 14)
	@scripts/need-clang.sh
	$(GO) generate ./bpf

.PHONY: verify-generated
verify-generated: ## generate, and fail if that changes anything (needs protoc and clang)
	@scripts/verify-generated.sh
	@scripts/verify-bpf.sh
