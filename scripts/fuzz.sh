#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME (default 30s), one after the other, and
# names those that failed. Targets are found by asking the packages, so none is forgotten.
set -uo pipefail
cd "$(dirname "$0")/.."
time=${FUZZTIME:-30s}

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
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10s "$package" || failed+=("$package $target")
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
