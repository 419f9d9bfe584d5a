#!/usr/bin/env bash
# The C library (clients/c) and its tests, in clients/c/build, which is not committed.
#
#   scripts/clients-c.sh          builds all and tests it, in some 30 s
#   scripts/clients-c.sh build    builds the library and blaze-c-member only
#   scripts/clients-c.sh rounds   opens and closes channels 10,000 times (10 minutes)
#   scripts/clients-c.sh bench    measures what a call costs beside Go (quiet machine)
#
# It needs Go, gcc and g++; valgrind and python3 where they are there, and says which is missing.
set -euo pipefail
cd "$(dirname "$0")/../clients/c"
if ! command -v "${CC:-gcc}" >/dev/null; then
	echo "clients-c: no C compiler: the C library is not built"
	exit 0
fi
CC=${CC:-gcc} CXX=${CXX:-g++} GO=${GO:-go} out=$PWD/build
strict="-Wall -Wextra -Werror"
rm -rf build
mkdir build

library() {
	CGO_ENABLED=1 "$GO" build -buildmode=c-shared -trimpath -o "$out/libblaze.so.1" \
		-ldflags "-s -w -extldflags '-Wl,--version-script=$PWD/blaze.map -Wl,-soname,libblaze.so.1'" .
	rm -f "$out/libblaze.so.h" "$out/libblaze.h" # cgo's own header: blaze.h is the contract
	ln -sf libblaze.so.1 "$out/libblaze.so"
	cp blaze.h "$out/"
}

# program NAME SOURCE FLAGS... builds a program in C beside the library.
program() {
	local name=$1 source=$2
	shift 2
	"$CC" -g -O1 $strict -I. "$@" "$source" -o "$out/$name" -L"$out" -lblaze -Wl,-rpath,'$ORIGIN' -lpthread
}

# run SECONDS COMMAND... shows what it printed only where it failed.
run() {
	local bound=$1 log rc=0
	shift
	log=$(mktemp)
	timeout --kill-after=5 "$bound" "$@" >"$log" 2>&1 || rc=$?
	if [ "$rc" -ne 0 ]; then
		echo "clients-c: exit code $rc: $*"
		tail -60 "$log"
		rm -f "$log"
		return 1
	fi
	grep -E '^(ok|rounds) ' "$log" || true
	rm -f "$log"
}

library
program blaze-c-member member/blaze-c-member.c -std=gnu11 -O2
case ${1-} in
build)
	exit 0
	;;
bench)
	program bench bench/bench.c -std=gnu11 -O2
	"$GO" build -o "$out/inside" ./bench/inside
	exec python3 bench/run.py "$out/bench" "$out/inside" "${2-5}"
	;;
rounds)
	program rounds tests/rounds.c -std=gnu11
	run 1800 "$out/rounds" "${2-10000}"
	exit 0
	;;
esac

# What the library exports is versioned, and is what blaze.h declares.
if nm -D --defined-only "$out/libblaze.so" | awk '$2 != "A" && $3 !~ /^blaze_[a-z0-9_]+@@BLAZE_[0-9]+$/ { print; bad = 1 } END { exit bad }'; then :; else
	echo "clients-c: the library exports the above"
	exit 1
fi
program basic tests/basic.c -std=gnu11
program rounds tests/rounds.c -std=gnu11
program hello examples/hello.c -std=c99 -pedantic
program stress tests/stress.c -std=gnu11 -fsanitize=address -fno-omit-frame-pointer
"$CC" -g -O1 $strict -std=gnu11 -I. tests/signals.c -o "$out/signals" -ldl -lpthread
"$CXX" -std=c++17 -g $strict -I. examples/requests.cpp -o "$out/requests" -L"$out" -lblaze -Wl,-rpath,'$ORIGIN'

run 120 "$out/basic"
run 120 "$out/rounds" "${ROUNDS:-100}"
cp "$out/libblaze.so.1" "$out/second.so"
for order in before after "$out/second.so"; do run 60 "$out/signals" "$out/libblaze.so" "$order"; done
rm "$out/second.so"
# A broken pipe ends a program that has no handler for it: 128 + SIGPIPE, also with the library.
rc=0
bash -c '"$0" "$1" pipe' "$out/signals" "$out/libblaze.so" || rc=$?
[ "$rc" -eq 141 ] || { echo "clients-c: a broken pipe ended the program with $rc"; exit 1; }
run 120 env ASAN_OPTIONS=detect_leaks=1:halt_on_error=1 "$out/stress" "${STRESS:-4}"

run 60 "$out/hello"
run 60 "$out/requests"
if command -v python3 >/dev/null; then
	run 60 python3 examples/prices.py "$out/libblaze.so"
else
	echo "clients-c: no python3: examples/prices.py is not run"
fi
if command -v valgrind >/dev/null; then
	# An instruction that valgrind does not know is switched off. What it says of Go's own code is left out: by the
	# suppressions, and, of system calls, whose arguments they would have to name one by one, here. An error counts that
	# has a place outside the library.
	run 180 env GODEBUG=cpu.rdtscp=off valgrind --quiet --suppressions=tests/valgrind.supp --log-file="$out/valgrind.log" --leak-check=full \
		--show-leak-kinds=definite --errors-for-leak-kinds=definite "$out/hello"
	if ! sed 's/^==[0-9]*== *//' "$out/valgrind.log" | awk -v RS= '
		/(^|\n)(at|by) 0x/ { n = split($0, line, "\n"); for (i = 1; i <= n; i++) if (line[i] ~ /^(at|by) 0x/ && line[i] !~ /libblaze\.so/) { print $0 "\n"; bad = 1; break } }
		END { exit bad }'; then
		echo "clients-c: hello under valgrind: the errors above"
		exit 1
	fi
	echo "ok hello under valgrind"
else
	echo "clients-c: no valgrind: the examples run without it"
fi

# Two programs of blaze-c-member agree about every message.
for kind in "" --typed "--size 100000" "--loss 0.05 --seed 7"; do
	uri="udp://239.255.66.76:$((20000 + $$ % 20000))?interface=lo"
	# shellcheck disable=SC2086
	timeout 60 "$out/blaze-c-member" sub --uri "$uri" --cluster "c-$$" --topic 'm.>' --count 300 $kind >"$out/sub.ndjson" 2>"$out/sub.log" &
	sub=$!
	# shellcheck disable=SC2086
	timeout 60 "$out/blaze-c-member" pub --uri "$uri" --cluster "c-$$" --topic m.a,m.b --count 300 --wait 1 $kind >"$out/pub.ndjson" 2>"$out/pub.log" &&
		wait "$sub" && cmp "$out/pub.ndjson" "$out/sub.ndjson" ||
		{ echo "clients-c: blaze-c-member $kind"; cat "$out"/*.log; exit 1; }
done
echo "ok blaze-c-member"
"$GO" test -short -count=1 -vet=off -timeout 120s ./internal/abi
if [ -n "${CI-}" ]; then # make race has compiled the library for it
	CGO_ENABLED=1 "$GO" test -race -short -count=1 -vet=off -timeout 300s ./internal/abi
fi
