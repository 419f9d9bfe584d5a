#!/bin/sh
# Builds and vets the library, and tests its parts and its examples, as applications get it: without the
# workspace, which lifts the versions of all its modules together, and with the oldest Go that go.mod
# promises. Where that Go cannot be fetched, one line says so and the present one is taken.
set -eu
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/^go //p' go.mod)
for file in go.work */go.mod */*/go.mod; do
	if [ "$(sed -n 's/^go //p' "$file")" != "$oldest" ]; then
		echo "library: $file promises another Go than go.mod, which says $oldest" >&2
		exit 1
	fi
done
if GOTOOLCHAIN=go$oldest go version >/dev/null 2>&1; then
	export GOTOOLCHAIN="go$oldest"
else
	echo "library: go$oldest cannot be fetched here, so this is $(go version)"
fi
export GOWORK=off
go version
go build ./...
go vet ./...
# All tests run with the present Go. Here it is enough that what an application links does what it should: the packages
# whose code leans on the compiler (memory by address, atomics, assembly), what puts a member together, and the examples,
# in which protocols, groups and clusters run over sockets. The protocols' cores are plain code, and take minutes.
once="-count=1 -vet=off -ldflags=-w"
# shellcheck disable=SC2046,SC2086
go test -short $once -timeout 170s ./buf ./engine ./fec ./ring ./udp ./wire $(go list ./internal/... | grep -Ev '/(archtest|check|script)$')
# shellcheck disable=SC2086
go test $once -timeout 60s -run '^Example' .
