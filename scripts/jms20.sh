#!/usr/bin/env bash
# Runs IBM's own tests of mq-golang-jms20 against Blaze on loopback, without cgo, each in a cluster of its own: first with
# the holder in the test's process, then as a client of three holders in processes of their own. The tests are downloaded
# and changed in a temporary folder: the import of mqjms, and the call that makes the factory. Nothing of them is committed.
#
#   scripts/jms20.sh [own|clients|all] [test...]
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
mode=${1:-all}
shift || true
version=v1.11.0
export CGO_ENABLED=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
source=$(GOWORK=off go mod download -json "github.com/ibm-messaging/mq-golang-jms20@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
for file in "$source"/*_test.go; do
	case "$file" in */tls_connections_test.go | */local_bindings_test.go) continue ;; esac
	sed -e 's#"github.com/ibm-messaging/mq-golang-jms20/mqjms"#mqjms "github.com/activeblaze/blaze/jms/jms20"#' \
		-e 's#mqjms.CreateConnectionFactoryFromDefaultJSONFiles()#mqjms.NewConnectionFactory(blazeURL)#' "$file" >"$dir/$(basename "$file")"
done
chmod -R u+w "$dir"
package=$(sed -n 's/^package //p' "$dir"/textmessage_test.go | head -1)
cat >"$dir/url_test.go" <<END
package $package

import "os"

var blazeURL = os.Getenv("BLAZE_URL")
END
cat >"$dir/go.mod" <<END
module ibmtest

go $(sed -n 's/^go //p' go.mod)

require (
	github.com/activeblaze/blaze v0.0.0
	github.com/activeblaze/blaze/jms/jms20 v0.0.0
	github.com/ibm-messaging/mq-golang-jms20 $version
	github.com/ibm-messaging/mq-golang/v5 v5.6.0
	github.com/stretchr/testify v1.9.0
)

replace (
	github.com/activeblaze/blaze => $root
	github.com/activeblaze/blaze/jms/jms20 => $root/jms/jms20
	github.com/ibm-messaging/mq-golang/v5 => $root/jms/ibmmq
)
END
(cd "$dir" && GOWORK=off GOFLAGS=-mod=mod go test -c -o "$dir/ibm.test" . )
go build -o "$dir/holder" ./jms/jms20/internal/ibmtest/holder

queues='jms.autoCreate=false&jms.queues=DEV.QUEUE.1,DEV.QUEUE.2,DEV.MAXDEPTH25&jms.depth.DEV.MAXDEPTH25=25'
list=$root/jms/jms20/testdata/ibm-tests.txt
failed=0

# one MODE TEST EXPECTED: runs a test, and prints what became of it.
one() {
	local mode=$1 test=$2 expected=$3 url="udp://239.255.66.77:$((20000 + RANDOM % 30000))?interface=lo&jms.cluster=ibm-$RANDOM-$RANDOM"
	local pids=() i line
	if [ "$mode" = own ]; then
		url="$url&jms.role=holder&$queues"
	else
		mkfifo "$dir/in" "$dir/out"
		for i in 1 2 3; do
			"$dir/holder" "$url&jms.role=holder&jms.holders=3&jms.name=h$i&$queues" <"$dir/in" >"$dir/out" 2>"$dir/holder-$i.log" &
			pids+=($!)
		done
		exec 8>"$dir/in" 7<"$dir/out"
		for i in 1 2 3; do read -r -t 30 -u 7 line || true; done
		url="$url&jms.role=client"
	fi
	local outcome=pass
	BLAZE_URL=$url timeout 120 "$dir/ibm.test" -test.run "^$test\$" >"$dir/log" 2>&1 || outcome=fail
	if [ "$mode" != own ]; then
		exec 8>&- 7<&-
		for i in "${pids[@]}"; do wait "$i" || true; done
		rm -f "$dir/in" "$dir/out"
	fi
	printf '%-8s %-60s %s\n' "$mode" "$test" "$outcome$([ "$expected" = may-fail ] && echo ' (may fail)')"
	if [ "$outcome" = fail ] && [ "$expected" != may-fail ]; then
		sed 's/^/    /' "$dir/log" | grep -v ' INFO ' | head -40
		failed=$((failed + 1))
	fi
}

for m in own clients; do
	[ "$mode" = all ] || [ "$mode" = "$m" ] || continue
	while read -r test expected reason <&9; do
		case "$test" in '' | '#'*) continue ;; esac
		[ $# -eq 0 ] || [[ " $* " == *" $test "* ]] || continue
		one "$m" "$test" "$expected"
	done 9<"$list"
done
[ "$failed" -eq 0 ] || { echo "$failed tests failed that should pass" >&2; exit 1; }
