#!/usr/bin/env bash
# go mod tidy for every module of the workspace. The inner modules require the library at a version
# that only go.work replaces, and tidy does not read go.work: so each is tidied with the same
# replacements in a copy of its go.mod. With --check nothing is written, and a difference fails.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
module=$(go list -m -f '{{.Path}}' 2>/dev/null | head -1)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export GOWORK=off
failed=0
for dir in . bench bench/clustertest bench/interop blazeprom clients/c cmd jms/jms20 sim/linear tools; do
	cp "$dir/go.mod" "$copy/go.mod"
	if [ -e "$dir/go.sum" ]; then cp "$dir/go.sum" "$copy/go.sum"; else : >"$copy/go.sum"; fi
	go mod edit -replace "$module@v0.0.0=$root" -replace "$module/bench@v0.0.0=$root/bench" \
		-replace "github.com/ibm-messaging/mq-golang/v5=$root/jms/ibmmq" "$copy/go.mod"
	(cd "$dir" && go mod tidy -modfile="$copy/go.mod")
	go mod edit -dropreplace "$module@v0.0.0" -dropreplace "$module/bench@v0.0.0" \
		-dropreplace "github.com/ibm-messaging/mq-golang/v5" "$copy/go.mod"
	for file in go.mod go.sum; do
		if [ ! -s "$copy/$file" ] || cmp -s "$copy/$file" "$dir/$file"; then continue; fi
		if [ "${1-}" = --check ]; then
			diff -u "$dir/$file" "$copy/$file" || true
			failed=1
		else
			cp "$copy/$file" "$dir/$file"
		fi
	done
done
[ "$failed" -eq 0 ] || { echo "tidy: run make tidy" >&2; exit 1; }
