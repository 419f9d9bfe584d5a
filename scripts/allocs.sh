#!/usr/bin/env bash
# Runs every test that calls testing.AllocsPerRun, and nothing else, without the race detector
# (whose own allocations would be counted). The tests are found in the source, so none is
# forgotten: the call must stand in the Test function itself.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
count=0
while read -r package names; do
	count=$((count + $(tr '|' '\n' <<<"$names" | wc -l)))
	go test -count=1 -v -run "^($names)\$" "$package" || failed=1
done < <(
	grep -rl 'testing\.AllocsPerRun' --include='*_test.go' . | sort | while read -r file; do
		awk -v dir="$(dirname "$file")" -v file="$file" '
			/^func / { name = $2; sub(/\(.*/, "", name) }
			/testing\.AllocsPerRun/ {
				if (name ~ /^Test/) print dir, name
				else print "allocs: " file ": AllocsPerRun outside a Test function: " name > "/dev/stderr"
			}' "$file"
	done | sort -u | awk '
		$1 != dir { if (dir) print dir, names; dir = $1; names = $2; next }
		{ names = names "|" $2 }
		END { if (dir) print dir, names }'
)
[ "$count" -gt 0 ] || { echo "allocs: no test measures allocations" >&2; exit 1; }
[ "$failed" -eq 0 ] || { echo "allocs: a hot path allocates" >&2; exit 1; }
echo "allocs: $count tests, no allocation"
