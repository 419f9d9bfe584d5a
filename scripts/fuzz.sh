#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME (default 30s), one after the other, and
# names those that failed. Targets are found by asking the packages, so none is forgotten.
set -uo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-30s}

# fuzz PACKAGE TARGET runs one target. Go's fuzzer sometimes takes its own deadline for a failure
# (golang/go#75804): then it says so and names no input, and the target is run once more.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
fuzz() {
	local try
	for try in 1 2; do
		go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x "$1" 2>&1 | tee "$log"
		if [ "${PIPESTATUS[0]}" -eq 0 ]; then
			return 0
		fi
		if grep -q 'Failing input written' "$log" || ! grep -q 'context deadline exceeded' "$log"; then
			return 1
		fi
		echo "fuzz: the fuzzer's own deadline, try $try"
	done
	return 1
}

# Only packages that mention a fuzz target are compiled for the question.
packages=$(grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | xargs -r -n1 dirname | sort -u)
failed=()
count=0
for package in $packages; do
	if ! listed=$(go test -list '^Fuzz' "$package"); then
		printf '%s\n' "$listed"
		failed+=("$package (does not compile)")
		continue
	fi
	for target in $(printf '%s\n' "$listed" | grep '^Fuzz'); do
		count=$((count + 1))
		echo "== $package $target ($time)"
		fuzz "$package" "$target" || failed+=("$package $target")
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
