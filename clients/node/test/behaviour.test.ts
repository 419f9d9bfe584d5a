// wire/testdata/behaviour.json: what a member must deliver, report and send, and when.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Protocol } from "../src/core/protocol.js";
import { GROUP } from "../src/core/core.js";
import { NEVER, Random, SECOND } from "../src/core/timing.js";
import { type Frame, decode, FrameKind, idBytes, idOf, laneOf, laneOfTopic, newDatagram, seal } from "../src/wire/index.js";
import { root } from "./hex.js";

type Json = { [k: string]: any };
const all = JSON.parse(readFileSync(root + "wire/testdata/behaviour.json", "utf8")) as Json;

const kinds: Record<string, number> = {
  data: FrameKind.Data, nak: FrameKind.Nak, heartbeat: FrameKind.Heartbeat, status: FrameKind.Status, start: FrameKind.Start, leave: FrameKind.Leave,
};
const camel = (s: string): string => s.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase());
const START = 1; // times of a core begin at 1, those of a script at 0

interface Sent {
  at: number;
  to: string;
  lane: number;
  frames: Frame[];
}

/** Reports whether a value is like what a script wants. */
function like(got: any, want: any, offset: number, key: string): boolean {
  if (want === null) return got === undefined;
  if (Array.isArray(want)) return Array.isArray(got) && got.length === want.length && want.every((w, i) => like(got[i], w, offset, key));
  if (typeof want === "object") {
    if ("has" in want) return Array.isArray(got) && got.some((g) => like(g, want.has, offset, key));
    if ("min" in want || "max" in want) {
      const n = BigInt(got ?? 0);
      return (!("min" in want) || n >= BigInt(want.min)) && (!("max" in want) || n <= BigInt(want.max));
    }
    if (got === undefined) return false;
    return Object.entries(want).every(([k, w]) => like(got[camel(k)], w, offset, k));
  }
  if (typeof want === "boolean") return Boolean(got) === want;
  if (key === "origin") return Buffer.from(idBytes(got)).toString("hex") === want;
  if (key === "payload") return Buffer.from(got).toString("hex") === want;
  if (typeof got === "bigint" || typeof got === "number") return BigInt(got) === BigInt(want);
  return got === want;
}

function view(f: Frame): any {
  if (f.kind !== FrameKind.Data) return f;
  return {
    ...f, fragment: f.fragment ? { offset: f.offset, size: f.size } : undefined,
    messages: f.messages.map((m) => ({ topic: m.topic, kind: m.kind, payload: f.bytes.subarray(m.start, m.end) })),
  };
}

function fits(s: Sent, want: Json): boolean {
  if (want["to"] !== undefined && (want["to"] === "group" ? GROUP : want["to"]) !== s.to) return false;
  if (want["lane"] !== undefined && want["lane"] !== s.lane) return false;
  return Object.entries(want["frame"]).every(([name, fields]) =>
    s.frames.some((f) => f.kind === kinds[name] && like(view(f), fields, 0, name)));
}

const reasons: Record<string, string> = {
  LossUnrepaired: "unrepaired", LossSenderGone: "sender gone", LossRetention: "retention", LossReset: "reset", LossMalformed: "malformed", LossTimeout: "timeout",
};

function run(script: Json, seed: number): void {
  const m = script["member"];
  const sent: Sent[] = [];
  const output: Json[] = [];
  let now = START;
  let paused = false;
  let beat = 0n;
  const p: Protocol = new Protocol({
    self: idOf(Buffer.from(m.id, "hex")), incarnation: 0, cluster: BigInt(m.cluster), datagram: m.datagram, window: m.window * m.datagram,
    maxMessageSize: 1 << 20, eviction: SECOND, repairTimeout: 5 * SECOND, room: m.room, lanes: m.lanes, maxStreams: 64, selfDelivery: false,
    fastest: false, freePace: false, random: new Random(seed),
  }, {
    deliver: (d) => {
      if (paused) return false;
      output.push({ at: now - START, deliver: {
        from: Buffer.from(idBytes(d.from)).toString("hex"), sequence: String(d.sequence), topic: d.topic, kind: d.kind, payload: Buffer.from(d.payload).toString("hex"),
      } });
      return true;
    },
    lost: (l) => output.push({ at: now - START, lost: {
      from: Buffer.from(idBytes(l.from)).toString("hex"), first: String(l.first), last: String(l.last), reason: reasons[l.reason] ?? l.reason,
    } }),
    event: () => undefined,
  });
  assert.equal(p.window, m.window);
  p.startAt(now);
  let closed = false;
  const turn = (): void => {
    p.deliver(now);
    p.tick(now);
    p.flush(now);
    for (let s = p.pollSend(now); s; s = p.pollSend(now)) {
      const d = newDatagram();
      assert.equal(decode(s.bytes, d), undefined);
      for (const f of d.frames) if (f.kind === FrameKind.Heartbeat) beat = f.sentAt;
      sent.push({ at: now - START, to: s.to, lane: laneOf(d.stream), frames: d.frames });
    }
  };
  const until = (at: number): void => {
    for (let i = 0; ; i++) {
      const next = p.deadline();
      if (next >= at || next === NEVER) break;
      now = Math.max(now, next);
      turn();
      assert.ok(i < 100000, "it does not come to rest");
    }
    now = at;
  };
  turn();
  for (const e of script["events"]) {
    until(e.at + START);
    if (e.in !== undefined) {
      const b = Buffer.from(e.in, "hex");
      if (e.echo_at !== undefined) {
        b.writeBigUInt64LE(beat, e.echo_at);
        if (e.held_at !== undefined) b.writeUInt32LE(Math.max(now - Number(beat) - (e.round_trip ?? 0), 0), e.held_at);
        seal(b);
      }
      const d = newDatagram();
      if (!decode(b, d) && d.cluster === p.cfg.cluster && d.transmitter !== p.cfg.self) p.step(now, d, b.length, e.from, e.group ?? false);
    }
    if (e.open) p.open(now, m.protocol, 0);
    if (e.topic !== undefined) {
      const s = p.open(now, m.protocol, laneOfTopic(e.topic, m.lanes));
      const topic = { name: e.topic, bytes: Buffer.from(e.topic) };
      for (let i = 0; i < (e.count ?? 1); i++) {
        if (!s.offer(now, topic, e.kind ?? 0, Buffer.from(e.payload ?? "", "hex"))) break;
        turn();
      }
    }
    if (e.pause) paused = true;
    if (e.resume) paused = false;
    if (e.close && !closed) {
      closed = true;
      p.close();
    }
    turn();
  }
  until(script["end"] + START);
  turn();
  const list = (): string => JSON.stringify(output, null, 1) + "\n" + sent.map((s) => `${s.at} to ${s.to || "group"}: ${s.frames.map((f) => f.kind).join(" ")}`).join("\n");
  assert.equal(output.length, script["output"].length, `output\n${list()}`);
  script["output"].forEach((w: Json, i: number) => {
    const { after, before, ...what } = w;
    const { at, ...got } = output[i]!;
    assert.deepEqual(got, what, `output ${i}`);
    assert.ok(at >= after && at <= before, `output ${i} at ${at}, not in ${after}..${before}`);
  });
  for (const w of script["sends"]) {
    const n = sent.filter((s) => s.at >= w.after && s.at <= w.before && fits(s, w)).length;
    assert.ok(n >= (w.times ?? 1), `${n} of ${JSON.stringify(w)}\n${list()}`);
  }
  for (const w of script["never"]) {
    const s = sent.find((x) => x.at >= w.after && x.at <= w.before && fits(x, w));
    assert.ok(!s, `at ${s?.at} it sent what it must not: ${JSON.stringify(w)}`);
  }
}

for (const script of all["scripts"]) {
  test(script.name, () => {
    for (let seed = 1; seed <= 3; seed++) run(script, seed);
  });
}
