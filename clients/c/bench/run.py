"""Runs bench.c and bench/inside in turn, and prints medians and their ratios within a round.

python3 run.py BENCH INSIDE [ROUNDS]
"""

import statistics
import subprocess
import sys

programs = {"C": sys.argv[1], "Go": sys.argv[2]}
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
uri = "udp://239.255.66.76:17801?interface=lo"


def run(*args: str) -> list[float]:
    return [float(x) for x in subprocess.run(args, check=True, capture_output=True, text=True, timeout=120).stdout.split()]


def round_trip(program: str, mode: str) -> list[float]:
    pong = subprocess.Popen([program, "pong", uri, "100000", mode], stderr=subprocess.DEVNULL)
    try:
        return run(program, "ping", uri, "100000", mode)
    finally:
        pong.wait(30)


for mode in ("engine", "turn"):
    all_ = {name: [] for name in programs}
    for i in range(rounds):
        for name in sorted(programs, reverse=i % 2 == 1):
            all_[name].append(round_trip(programs[name], mode))
    mid = {n: [statistics.median(x[k] for x in v) for k in range(3)] for n, v in all_.items()}
    ratio = statistics.median(c[0] / g[0] for c, g in zip(all_["C"], all_["Go"], strict=True))
    print(f"round trip, {mode}: C p50 {mid['C'][0]:.2f}, p99 {mid['C'][1]:.2f} us; Go p50 {mid['Go'][0]:.2f}, p99 {mid['Go'][1]:.2f} us;"
          f" C/Go {ratio:.3f}; rounds {[(round(c[0], 2), round(g[0], 2)) for c, g in zip(all_['C'], all_['Go'], strict=True)]}")
names = ("turn of a channel that is not started", "offer of 8 bytes", "message to itself: turns and handler", "turn without work")
results = {n: [run(p, "calls", "320000") for _ in range(rounds)] for n, p in programs.items()}
for k, what in enumerate(names):
    c, g = (statistics.median(x[k] for x in results[n]) for n in ("C", "Go"))
    print(f"{what}: C {c:.0f} ns, Go {g:.0f} ns, difference {c - g:.0f} ns")
