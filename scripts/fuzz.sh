#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME (default 30s), one after the other, and names those that failed.
# Targets are found by asking the packages, so none is forgotten. go test -fuzz links a package anew for each of its
# targets, which takes longer than CI fuzzes one: here each package is linked once, instrumented the same way.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
time=${FUZZTIME:-30s}
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
corpora=$(go env GOCACHE)/fuzz # where go test -fuzz keeps what it has found, by import path

# build PACKAGE makes the package's program. Failures are seen by its absence.
build() { go test -c -vet=off -ldflags=-w -fuzz=Fuzz -o "$built/$(tr / - <<<"$1").test" "$1"; }

# fuzz PACKAGE PROGRAM CORPUS TARGET runs one target. Go's fuzzer sometimes takes its own deadline for a failure
# (golang/go#75804): then it says so and names no input, and the target is run once more.
fuzz() {
	local try
	for try in 1 2; do
		(cd "$1" && exec "$2" -test.paniconexit0 -test.run '^$' -test.fuzz "^$4\$" -test.fuzztime "$time" \
			-test.fuzzminimizetime 10x -test.fuzzcachedir "$3") 2>&1 | tee "$built/log"
		if [ "${PIPESTATUS[0]}" -eq 0 ]; then
			return 0
		fi
		if grep -q 'Failing input written' "$built/log" || ! grep -q 'context deadline exceeded' "$built/log"; then
			return 1
		fi
		echo "fuzz: the fuzzer's own deadline, try $try"
	done
	return 1
}

# Only packages that mention a fuzz target are compiled. The first one, which needs most of the others, goes before them.
packages=$(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
export built
export -f build
head -n 1 <<<"$packages" | xargs -I{} bash -c 'build {}'
tail -n +2 <<<"$packages" | xargs -P 2 -I{} bash -c 'build {}'

failed=()
count=0
for package in $packages; do
	program=$built/$(tr / - <<<"$package").test
	if [ ! -x "$program" ]; then
		failed+=("$package (does not compile)")
		continue
	fi
	corpus=$corpora/$(go list "$package")
	for target in $(cd "$package" && "$program" -test.list '^Fuzz'); do
		count=$((count + 1))
		echo "== $package $target ($time)"
		fuzz "$package" "$program" "$corpus" "$target" || failed+=("$package $target")
	done
done
if [ ${#failed[@]} -gt 0 ]; then
	printf 'fuzz: failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
if [ "$count" -eq 0 ]; then
	echo "fuzz: no target found" >&2
	exit 1
fi
echo "fuzz: $count targets, $time each, no failure"
