#!/usr/bin/env bash
# Runs every test that calls testing.AllocsPerRun without the race detector (whose own allocations would be counted).
# The tests are found in the source, so none is forgotten: the call must stand in the Test function itself. All packages
# are given to one go test; a test of the same name elsewhere runs as well, and is not counted.
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
found=$(
	grep -rl 'testing\.AllocsPerRun' --include='*_test.go' . | sort | while read -r file; do
		awk -v dir="$(dirname "$file")" -v file="$file" '
			/^func / { name = $2; sub(/\(.*/, "", name) }
			/testing\.AllocsPerRun/ {
				if (name ~ /^Test/) print dir, name
				else print "allocs: " file ": AllocsPerRun outside a Test function: " name > "/dev/stderr"
			}' "$file"
	done | sort -u
)
[ -n "$found" ] || { echo "allocs: no test measures allocations" >&2; exit 1; }
names=$(cut -d ' ' -f 2 <<<"$found" | sort -u | paste -sd '|' -)
packages=$(cut -d ' ' -f 1 <<<"$found" | sort -u)
# shellcheck disable=SC2086
go test -count=1 -vet=off -ldflags=-w -v -run "^($names)\$" $packages | tee "$log"
[ "${PIPESTATUS[0]}" -eq 0 ] || { echo "allocs: a hot path allocates" >&2; exit 1; }
# Every test that was found has ended well or said why it is left out.
count=$(wc -l <<<"$found")
ended=$(grep -cE "^--- (PASS|SKIP): ($names) " "$log")
[ "$ended" -ge "$count" ] || { echo "allocs: $count tests were found, and $ended have run" >&2; exit 1; }
echo "allocs: $count tests, no allocation"
