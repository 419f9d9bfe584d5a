#!/usr/bin/env bash
# Measures ActiveMQ Classic, as Debian has it (packages activemq and libactivemq-java, and a JDK), and blazebench jms
# beside it, in turn, in one sitting: queues with 8 producers and 8 consumers, and with one each. The broker is one process
# with Debian's configuration, on 127.0.0.1 alone, once with its store (KahaDB, which syncs each message) and once
# without. Its load is bench/activemq/Load.java, over its own client. Blaze has three holders, in memory and with a
# DataDir each, on the same disk. Results go to DIR, an object of JSON for each run, and a table to standard output. What
# DIR has of an earlier call is not measured again, so that rounds can be added.
#
#   scripts/activemq.sh [DIR]      ROUNDS=3 SECONDS_EACH=8 WARMUP=5 PORT=61996 TMPDIR=/on/a/disk
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-$(mktemp -d)}
rounds=${ROUNDS:-3} each=${SECONDS_EACH:-8} warm=${WARMUP:-5} port=${PORT:-61996}
mkdir -p "$out"
jars=/usr/share/java
for need in java javac python3 go; do
	command -v $need >/dev/null || { echo "activemq.sh: left out: $need is missing"; exit 0; }
done
[ -e $jars/activemq-broker.jar ] || { echo "activemq.sh: left out: apt-get install activemq libactivemq-java"; exit 0; }

work=$(mktemp -d)
broker=
stop() {
	[ -z "$broker" ] || { kill "$broker" 2>/dev/null || true; wait "$broker" 2>/dev/null || true; }
	broker=
}
trap 'stop; rm -rf "$work"' EXIT

names='activemq-broker activemq-client activemq-kahadb-store activemq-openwire-legacy activemq-protobuf activemq-spring activemq-jaas
	activemq-console geronimo-jms_1.1_spec geronimo-j2ee-management-1.1-spec geronimo-jta-1.2-spec hawtbuf slf4j-api slf4j-nop
	jcl-over-slf4j spring-core spring-beans spring-context spring-expression spring-aop xbean-spring commons-pool2'
path=$work
for n in $names; do
	for f in $jars/$n.jar $jars/${n/spring-/spring3-}.jar; do
		if [ -e "$f" ]; then path=$path:$f && break; fi
	done
done
[ ! -e $jars/xbean.jar ] || path=$path:$jars/xbean.jar

javac -nowarn -cp "$path" -d "$work" bench/activemq/*.java
go build -o "$work/blazebench" ./cmd/blazebench

# start PERSISTENT starts the broker: Debian's configuration, with another port, its data here, and its store or none.
start() {
	local base=$work/broker-$1
	rm -rf "$base" && mkdir -p "$base"
	sed -e "s/127.0.0.1:61616/127.0.0.1:$port/" -e "s/useJmx=\"false\"/useJmx=\"false\" persistent=\"$1\"/" \
		/etc/activemq/instances-available/main/activemq.xml >"$base/activemq.xml"
	grep -q "tcp://127.0.0.1:$port\"" "$base/activemq.xml" || { echo "activemq.sh: the configuration is another one" >&2; exit 1; }
	java -Xms512M -Xmx512M -Dorg.apache.activemq.UseDedicatedTaskRunner=true -Dactivemq.base="$base" -Dactivemq.data="$base/data" \
		-cp "$path" Broker "xbean:file:$base/activemq.xml" >"$base/log" 2>&1 &
	broker=$!
	for _ in $(seq 300); do
		grep -q started "$base/log" && return
		kill -0 $broker 2>/dev/null || break
		sleep 0.1
	done
	cat "$base/log" >&2
	exit 1
}

# load NAME PERSISTENT PRODUCERS CONSUMERS measures the broker.
load() {
	java -Xmx2G -cp "$path" Load "tcp://127.0.0.1:$port" "$3" "$4" 100 "$warm" "$each" "$2" >"$out/$1.json"
}

# blaze NAME FLAGS... measures held queues.
blaze() {
	local name=$1
	shift
	"$work/blazebench" jms --json "$out/$name.json" --holders 3 --duration "${each}s" "$@" >/dev/null
}

for r in $(seq "$rounds"); do
	for n in 8 1; do
		if [ -e "$out/blaze-memory-$n-$r.json" ]; then continue; fi
		start true
		load "activemq-store-persistent-$n-$r" persistent $n $n
		stop
		blaze "blaze-dir-$n-$r" --producers $n --consumers $n --dir
		start false
		load "activemq-memory-persistent-$n-$r" persistent $n $n
		load "activemq-memory-nonpersistent-$n-$r" nonpersistent $n $n
		stop
		blaze "blaze-memory-$n-$r" --producers $n --consumers $n
	done
done

python3 - "$out" "$rounds" <<'END'
import json, statistics, sys
out, rounds = sys.argv[1], int(sys.argv[2])
kinds = [
    ("activemq-store-persistent", "ActiveMQ, PERSISTENT, KahaDB"),
    ("blaze-dir", "Blaze, three holders with DataDir"),
    ("activemq-memory-persistent", "ActiveMQ, PERSISTENT, persistence off"),
    ("activemq-memory-nonpersistent", "ActiveMQ, NON_PERSISTENT, persistence off"),
    ("blaze-memory", "Blaze, three holders in memory"),
]
print("| | producers, consumers | messages/s | Send p50, p99, p99.9 (ms) | end to end p50, p99, p99.9 (ms) |\n| --- | --- | --- | --- | --- |")
for n in 8, 1:
    runs = {}
    for k, name in kinds:
        all = [json.load(open(f"{out}/{k}-{n}-{r}.json")) for r in range(1, rounds + 1)]
        runs[k] = all
        med = lambda f: statistics.median(f(x) for x in all)
        times = lambda key: ", ".join(f"{med(lambda x: x[key][p]) / 1e6:.2f}" for p in ("p50", "p99", "p99.9"))
        print(f"| {name} | {n}, {n} | {med(lambda x: x['msgs_per_s']):,.0f} | {times('send_ns')} | {times('end_to_end_ns')} |")
    pairs = list(zip(runs["blaze-dir"], runs["activemq-store-persistent"]))
    rate = statistics.median(b["msgs_per_s"] / a["msgs_per_s"] for b, a in pairs)
    tail = statistics.median(b["send_ns"]["p99"] / a["send_ns"]["p99"] for b, a in pairs)
    print(f"| ratios within a round, Blaze with DataDir to ActiveMQ with KahaDB | {n}, {n} | {rate:.2f} | p99 {tail:.2f} | |")
for r in range(1, rounds + 1):
    b = json.load(open(f"{out}/blaze-dir-8-{r}.json"))
    print(f"round {r}: the disk takes {b['sync_ns'] / 1e6:.2f} ms to append 4 KiB and sync them; commit {b['commit']}, {b['cpus']} CPUs, {b['kernel']}", file=sys.stderr)
END
