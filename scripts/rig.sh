#!/usr/bin/env bash
# Test networks of network namespaces, for work by hand. (blazebench --rig makes its own.)
#
#   scripts/rig.sh veth   exec [--] COMMAND...            two hosts; COMMAND runs in the first
#   scripts/rig.sh bridge N exec [--loss P] [--to HOST LINK]... [--isolate HOST]... [--] COMMAND...   N hosts on a switch
#   scripts/rig.sh tap N    exec [--loss P] [--to HOST LINK]... [--from HOST LINK]... [--] COMMAND...  on one of our own
#   scripts/rig.sh veth   up [NAME]                       the same, to stay; prints how to get in
#   scripts/rig.sh bridge N up [--loss P] [--to HOST LINK]... [--isolate HOST]... [NAME]
#   scripts/rig.sh down NAME                              removes what up has made
#   scripts/rig.sh clean                                  removes what dead processes left behind
#
# Host n, from 0, is the namespace NAME-n with the interface net0 and the address 10.66.76.(n+1).
# COMMAND finds NAME in $RIG and starts something on another host with: ip netns exec $RIG-1 ...
# NAME is blaze-PID of this script unless it is given. P is the percentage of packets that the
# switch loses as they come in at its ports (0 to 99; nftables on the netdev ingress hook).
#
# LINK is what the cable to a host, or from it, carries: rate=100mbit,queue=64k,mtu=1400. tap, whose switch is a program
# of this repository, also has loss=0.01, reorder=5ms (the longest that a packet is held back), double=0.5 (the part that
# arrives twice), multicast=off and unicast=off (bench/rig/link.go). Isolated hosts do not reach each other.
#
# exec removes everything whatever happens; only SIGKILL can keep it from that, and then the next
# exec or clean does it. Interfaces that this script has not made are never touched: all of its own
# are born inside its namespaces.
set -euo pipefail

readonly prefix=blaze-
die() { echo "rig.sh: $*" >&2; exit 1; }
usage() { sed -n '2,/^set/p' "$0" | grep '^#' | cut -c3- >&2; exit 2; }

# in_ns NAMESPACE COMMAND... runs a command of iproute2 inside.
in_ns() { ip -n "$@"; }

# remove NAME takes all namespaces of a rig away, and all interfaces with them.
remove() {
	local ns found=1
	for ns in $(ip netns list | awk -v n="$1" '$1 == n "-switch" || index($1, n "-") == 1 && substr($1, length(n) + 2) ~ /^[0-9]+$/ { print $1 }'); do
		ip netns delete "$ns" && found=0
	done
	return $found
}

# clean removes the rigs that are named after a process that is gone.
clean() {
	local pid
	for pid in $(ip netns list | sed -nE "s/^$prefix([0-9]+)-(switch|[0-9]+)( .*)?\$/\\1/p" | sort -u); do
		kill -0 "$pid" 2>/dev/null || remove "$prefix$pid" || true
	done
}

# quiet NAMESPACE INTERFACE: no IPv6 chatter, and packets as a wire carries them: no offload.
quiet() {
	in_ns "$1" link set "$2" addrgenmode none
	if command -v ethtool >/dev/null; then
		ip netns exec "$1" ethtool -K "$2" tso off gro off tx-udp-segmentation off >/dev/null
	else
		in_ns "$1" link set "$2" gso_max_segs 1 # no segmentation that is worth the name
	fi
}

# host NAME N configures host N, whose interface is there.
host() {
	local ns=$1-$2
	in_ns "$ns" link set lo up
	quiet "$ns" net0
	in_ns "$ns" address add "10.66.76.$(($2 + 1))/24" dev net0
	in_ns "$ns" link set net0 up
	in_ns "$ns" route add 224.0.0.0/4 dev net0
}

# await NAMESPACE PATTERN COUNT ARGUMENTS... waits until ip shows a pattern often enough: the
# kernel finds out by and by that there is a cable.
await() {
	local ns=$1 pattern=$2 count=$3 i
	shift 3
	for ((i = 0; i < 500; i++)); do
		(($(in_ns "$ns" "$@" | grep -c -- "$pattern" || true) >= count)) && return
		sleep 0.01
	done
	die "no $pattern after 5 s: ip -n $ns $*"
}

make_veth() {
	ip netns add "$1-0"
	ip netns add "$1-1"
	in_ns "$1-0" link add net0 type veth peer name net0 netns "$1-1"
	host "$1" 0
	host "$1" 1
	await "$1-0" 'state UP' 1 link show net0
	await "$1-1" 'state UP' 1 link show net0
}

# shape NAMESPACE PORT LINK gives the cable of a bridge's port a rate with a queue (tc-tbf(8)), and an MTU.
shape() {
	local part rate='' queue=64k
	for part in ${3//,/ }; do
		case $part in
		rate=*) rate=${part#*=} ;;
		queue=*) queue=${part#*=} ;;
		mtu=*) in_ns "$1" link set "$2" mtu "${part#*=}" ;;
		*) die "$part: bridge has rate, queue and mtu; take tap" ;;
		esac
	done
	[ -z "$rate" ] || ip netns exec "$1" tc qdisc add dev "$2" root tbf rate "$rate" burst 3028 limit "${queue/%k/kb}"
}

# make_tap NAME N LOSS starts the switch, which makes the interfaces. It ends with its input.
make_tap() {
	local i line
	local -a args=() names=()
	for ((i = 0; i < $2; i++)); do
		ip netns add "$1-$i"
		names+=("$1-$i")
	done
	for ((i = 0; i < ${#links[@]}; i += 3)); do args+=("${links[i]}" "${links[i + 1]}:${links[i + 2]}"); done
	coproc TAPS { cd "$(dirname "$0")/.." && exec go run ./bench/rig/tapswitch -loss "0.$(printf %02d $((10#$3)))" "${args[@]}" "${names[@]}"; }
	read -r line <&"${TAPS[0]}" && [ "$line" = ready ] || die "the switch did not start"
}

# make_bridge NAME N LOSS
make_bridge() {
	local i
	ip netns add "$1-switch"
	in_ns "$1-switch" link add switch0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
	in_ns "$1-switch" link set switch0 addrgenmode none
	in_ns "$1-switch" link set switch0 up
	for ((i = 0; i < $2; i++)); do
		ip netns add "$1-$i"
		in_ns "$1-switch" link add "port$i" type veth peer name net0 netns "$1-$i"
		quiet "$1-switch" "port$i"
		in_ns "$1-switch" link set "port$i" master switch0
		in_ns "$1-switch" link set "port$i" up
		host "$1" "$i"
	done
	await "$1-switch" 'state forwarding' "$2" -d link show type bridge_slave
	for i in "${isolated[@]}"; do in_ns "$1-switch" link set "port$i" type bridge_slave isolated on; done
	for ((i = 0; i < ${#links[@]}; i += 3)); do shape "$1-switch" "port${links[i + 1]}" "${links[i + 2]}"; done
	((10#$3 == 0)) && return
	command -v nft >/dev/null || die "--loss needs nft: install nftables"
	{
		echo "table netdev rig {"
		for ((i = 0; i < $2; i++)); do
			echo "chain port$i { type filter hook ingress device \"port$i\" priority 0; numgen random mod 100 < $3 drop; }"
		done
		echo "}"
	} | ip netns exec "$1-switch" nft -f -
}

[ $# -ge 1 ] || usage
kind=$1 hosts=2 loss=0
links=() isolated=()
shift
[ "$(id -u)" -eq 0 ] || die "making network namespaces needs root: sudo $0 $kind $*"
command -v ip >/dev/null || die "the command ip is missing: install iproute2"
case $kind in
down)
	[ $# -eq 1 ] || usage
	remove "$1" || die "there is no rig $1"
	exit
	;;
clean)
	clean
	exit
	;;
veth) ;;
bridge | tap)
	[[ ${1-} =~ ^[0-9]+$ ]] && (($1 >= 1 && $1 <= 65)) || die "$kind needs a number of hosts, 1 to 65"
	hosts=$1
	shift
	;;
*) usage ;;
esac
verb=${1-}
shift || usage
# number OPTION HOST checks that there is such a host.
number() { [[ $2 =~ ^[0-9]+$ ]] && ((10#$2 < hosts)) || die "$1 $2: want a host, 0 to $((hosts - 1))"; }
while [[ ${1-} =~ ^--(loss|to|from|isolate)$ ]]; do
	[ "$kind" != veth ] || die "$1: a pair has no switch: take bridge or tap"
	[ $# -ge 2 ] || usage
	case $1 in
	--loss)
		[[ $2 =~ ^[0-9]{1,2}$ ]] || die "--loss needs a percentage, 0 to 99"
		loss=$((10#$2))
		;;
	--isolate)
		[ "$kind" = bridge ] || die "--isolate: take bridge"
		number "$1" "$2"
		isolated+=("$2")
		;;
	*)
		[ $# -ge 3 ] || usage
		[ "$1" = --to ] || [ "$kind" = tap ] || die "--from: take tap"
		number "$1" "$2"
		links+=("$1" "$2" "$3")
		shift
		;;
	esac
	shift 2
done
[ "${1-}" = -- ] && shift

make() {
	if [ "$kind" = veth ]; then make_veth "$1"; else "make_$kind" "$1" "$hosts" "$loss"; fi
}

case $verb in
up)
	[ "$kind" != tap ] || die "the switch of tap ends with this script: take exec"
	[ $# -le 1 ] || usage
	name=${1:-${prefix}rig$$}
	[[ $name =~ ^[A-Za-z0-9_-]{1,40}$ ]] || die "a name is made of letters, digits, - and _"
	[[ $name =~ ^$prefix[0-9]+$ ]] && die "$name is for rigs that end with their process: take another name"
	ip netns list | grep -qE "^$name-(switch|[0-9]+)( |\$)" && die "there is a rig $name already: $0 down $name removes it"
	trap 'remove "$name" || true' ERR EXIT
	make "$name"
	trap - ERR EXIT
	echo "$name is up. On host 0: ip netns exec $name-0 COMMAND; away with it: $0 down $name"
	;;
exec)
	[ $# -ge 1 ] || usage
	clean
	name=$prefix$$
	child=
	# Signals go to the command, which may want to finish; then everything is removed.
	finish() {
		trap '' INT TERM HUP
		if [ -n "$child" ]; then
			kill "$child" 2>/dev/null || true
			wait "$child" 2>/dev/null || true
		fi
		for ns in $(ip netns list | awk -v n="$name-" 'index($1, n) == 1 { print $1 }'); do
			ip netns pids "$ns" | xargs -r kill -KILL 2>/dev/null || true # all that runs inside was started by us
		done
		remove "$name" || true
	}
	trap finish EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	make "$name"
	RIG=$name ip netns exec "$name-0" "$@" <&0 &
	child=$!
	code=0
	wait "$child" || code=$?
	child=
	exit "$code"
	;;
*) usage ;;
esac
