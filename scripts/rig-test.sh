#!/bin/sh
# Runs the tests that need root, AF_XDP and networks of their own (bench/rig), and the long forms of those
# with many processes (bench/grouptest), of clusters (bench/clustertest) and of held queues (bench/jmstest). Where
# something is missing, one line says what was left out, and that is no failure. With --check it only says that; with
# cluster or jms it runs the tests of clusters or of held queues alone.
set -u
cd "$(dirname "$0")/.." || exit 1

left_out() {
	echo "rig-test: left out: all tests over AF_XDP and test networks: $1"
	exit 0
}
[ "$(uname -s)" = Linux ] || left_out "they need Linux"
[ "$(id -u)" -eq 0 ] || left_out "they need root: sudo make rig-test"
command -v ip >/dev/null || left_out "they need the command ip: install iproute2"
unshare -n true 2>/dev/null || left_out "they need network namespaces, which this kernel or container does not give"
grep -q '^XDP ' /proc/net/protocols || left_out "they need AF_XDP (CONFIG_XDP_SOCKETS), which this kernel lacks"
[ "${1-}" = --check ] && exit 0

# One package at a time: they measure.
GO=${GO:-go}
once="-p 1 -count=1 -vet=off -ldflags=-w" # make check vets, and no debugger looks at the programs

# measured runs a package whose tests measure what a host can carry. One that CI shares stands still now and then: there
# what failed is run once more, alone.
measured() {
	log=$(mktemp)
	$GO test $once -timeout 15m -v "$1" >"$log" 2>&1
	status=$?
	cat "$log"
	failed=$(sed -n 's/^--- FAIL: \(Test[A-Za-z0-9_]*\).*/\1/p' "$log" | paste -sd '|' -)
	rm -f "$log"
	if [ $status -eq 0 ] || [ "${CI-}" != true ] || [ -z "$failed" ]; then
		return $status
	fi
	echo "rig-test: once more, alone: $failed"
	$GO test $once -timeout 15m -v -run "^($failed)\$" "$1"
}

clusters() { $GO test $once -timeout 15m -v ./bench/clustertest; }
queues() { $GO test $once -timeout 15m -v ./bench/jmstest; }
case "${1-}" in
cluster)
	clusters
	exit
	;;
jms)
	queues
	exit
	;;
esac
$GO test $once -timeout 15m ./bpf ./xdp ./bench/rig ./bench/raw ./cmd/internal/doctor &&
	$GO test $once -timeout 5m -run 'Rig|Tap' ./cmd/blazebench &&
	measured ./bench/rigtest &&
	measured ./bench/grouptest &&
	clusters &&
	queues
