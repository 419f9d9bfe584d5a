import assert from "node:assert/strict";
import { test } from "node:test";
import { type Node, MS, Net, SECOND } from "./sim.js";

const topic = { name: "t", bytes: Buffer.from("t") };
/** Of networks; each replays. */
const seeds = Number(process.env["BLAZE_SEEDS"] ?? 3);

/** Offers count messages of size bytes whose first 8 bytes are their number, as room comes. */
function publish(net: Net, from: Node, count: number, size: number, lane = 0, protocol = 2, receivers = 0): () => boolean {
  const s = from.p.open(net.now, protocol, lane);
  let n = 0;
  return () => {
    if (s.joined < receivers) return false;
    for (; n < count; n++) {
      const b = Buffer.alloc(size);
      b.writeBigUInt64BE(BigInt(n + 1));
      if (!s.offer(net.now, topic, 0, b)) break;
    }
    return n === count;
  };
}

function numbers(n: Node): number[] {
  return n.got.map((m) => Number(m.payload.readBigUInt64BE(0)));
}

function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1);
}

for (const [name, faults, size, count, receivers] of [
  ["clean", { loss: 0, double: 0, jitter: 0 }, 64, 2000, 1],
  ["5 % lost", { loss: 0.05, double: 0, jitter: 0 }, 64, 4000, 2],
  ["a fifth lost, doubled, reordered", { loss: 0.2, double: 0.05, jitter: MS }, 100, 3000, 3],
  ["large messages, 5 % lost", { loss: 0.05, double: 0.02, jitter: 0.3 * MS }, 100_000, 40, 2],
  ["six receivers, 5 % lost", { loss: 0.05, double: 0, jitter: 0 }, 300, 3000, 6],
] as const) {
  test(`every message comes once and in order: ${name}`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const net = new Net(seed);
      const a = net.add();
      const all = Array.from({ length: receivers }, () => net.add());
      net.faults = faults;
      const more = publish(net, a, count, size, 0, 2, receivers);
      net.run(net.now + 60 * SECOND, () => {
        const done = more();
        a.turn(net.now);
        return done && all.every((b) => b.got.length === count);
      });
      for (const b of all) {
        assert.deepEqual(numbers(b), upTo(count), `seed ${seed}: ${b.got.length} of ${count}, lost ${JSON.stringify(b.lost, (_, v) => String(v))}`);
        assert.equal(b.lost.length, 0);
      }
    }
  });
}

test("what BestEffort loses is reported in its place", () => {
  const net = new Net(7);
  const a = net.add();
  const b = net.add();
  net.faults = { loss: 0.1, double: 0, jitter: 0 };
  const more = publish(net, a, 1000, 700, 0, 1);
  net.run(net.now + 10 * SECOND, () => (more(), a.turn(net.now), false));
  const lost = b.lost.reduce((n, l) => n + Number(l.last - l.first) + 1, 0);
  assert.ok(lost > 20, `${lost} lost`);
  assert.equal(b.got[0]!.sequence, BigInt(numbers(b)[0]!));
  assert.equal(b.got.length + lost, 1000 - (Number(b.got[0]!.sequence) - 1));
});

test("a sender that leaves is gone at once; one that dies is silent within its time", () => {
  const net = new Net(3);
  const a = net.add();
  const c = net.add();
  const b = net.add();
  for (const n of [a, c]) publish(net, n, 10, 64)();
  net.run(net.now + 500 * MS);
  assert.equal(b.got.length, 20);
  assert.equal(a.p.senders[0]!.joined, 2);
  a.p.close();
  net.run(net.now + 50 * MS);
  assert.ok(b.events.some((e) => e.kind === "StreamLeft" && e.from === a.p.cfg.self));
  assert.equal(c.p.senders[0]!.joined, 1);
  const died = net.now;
  c.down = true;
  net.run(net.now + 900 * MS);
  const silent = b.events.filter((e) => e.kind === "StreamSilent" && e.from === c.p.cfg.self);
  assert.equal(silent.length, 1, `${(net.now - died) / MS} ms`);
});

test("a member that starts again is another incarnation, and the old one is not believed", () => {
  const net = new Net(4);
  const a = net.add();
  const b = net.add();
  publish(net, a, 10, 64)();
  net.run(net.now + 100 * MS);
  a.down = true;
  const again = net.add({ self: a.p.cfg.self, incarnation: 2 });
  publish(net, again, 5, 64)();
  net.run(net.now + 100 * MS);
  assert.equal(b.got.length, 15);
  a.down = false;
  a.turn(net.now);
  publish(net, a, 10, 64)();
  net.run(net.now + 100 * MS);
  assert.equal(b.got.length, 15);
  assert.ok(b.p.counters.drops["incarnation"]! > 0);
});

test("a receiver that does not take its messages holds the stream up, and loses nothing", () => {
  const net = new Net(5);
  const a = net.add();
  const b = net.add();
  const more = publish(net, a, 20000, 500);
  b.refusing = true;
  net.run(net.now + 3 * SECOND, () => (more(), a.turn(net.now), false));
  assert.ok(a.p.senders[0]!.messages < 20000);
  b.refusing = false;
  net.run(net.now + 30 * SECOND, () => (more(), a.turn(net.now), b.turn(net.now), b.got.length === 20000));
  assert.deepEqual(numbers(b), upTo(20000));
  assert.equal(b.lost.length, 0);
});

test("who comes later begins at the present, and loses nothing from then on", () => {
  const net = new Net(6);
  const a = net.add();
  const b = net.add();
  net.faults = { loss: 0.05, double: 0, jitter: 0 };
  publish(net, a, 2000, 64)();
  net.run(net.now + 500 * MS);
  const c = net.add();
  net.run(net.now + 500 * MS);
  const s = a.p.senders[0]!;
  for (let i = 0; i < 500; i++) s.offer(net.now, topic, 0, Buffer.from(`late ${i}`));
  net.run(net.now + 2 * SECOND);
  assert.equal(b.got.length, 2500);
  assert.deepEqual(c.got.map((m) => m.payload.toString()), Array.from({ length: 500 }, (_, i) => `late ${i}`));
  assert.equal(c.lost.length, 0);
});

test("an idle stream costs little, and its receivers stay", () => {
  const net = new Net(8);
  const a = net.add();
  const b = net.add();
  publish(net, a, 10, 64)();
  net.run(net.now + 5 * SECOND);
  const before = net.sent;
  net.run(net.now + 100 * SECOND);
  assert.ok(net.sent - before < 100 * 8, `${net.sent - before} datagrams in 100 s`);
  assert.equal(a.p.senders[0]!.joined, 1);
  assert.ok(!b.events.some((e) => e.kind === "StreamSilent"));
});

/** A sender that has more to send than two receivers can take. Bytes that the slower one took, and sent for each of them. */
function flood(seed: number, loss: number, rate: number, paced: boolean, seconds: number): { took: number; each: number } {
  const net = new Net(seed);
  const a = net.add({ freePace: !paced });
  const b = [net.add({ room: 4 << 20 }), net.add({ room: 4 << 20 })];
  net.faults = { loss, double: 0, jitter: 0 };
  if (rate > 0) b[1]!.link = { rate, queue: 64 << 10 };
  const more = publish(net, a, Infinity, 1200, 0, 2, 2);
  for (const end = net.now + seconds * SECOND; net.now < end; ) {
    const next = net.now + MS;
    more();
    net.run(next);
    net.now = Math.max(net.now, next);
  }
  for (const n of b) assert.equal(n.lost.length, 0);
  const took = 1200 * Math.min(...b.map((n) => n.got.length));
  return { took, each: net.bytes / took };
}

test("where a link takes a part of what is sent, the pace follows it", () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const paced = flood(seed, 0, 1.25e6, true, 3);
    const free = flood(seed, 0, 1.25e6, false, 3);
    assert.ok(paced.took > 0.75 * 3 * 1.25e6, `seed ${seed}: ${paced.took} bytes in 3 s`);
    assert.ok(paced.each < 2 && paced.each < 0.7 * free.each, `seed ${seed}: ${paced.each} bytes sent for each, ${free.each} without the pace`);
  }
});

test("random loss slows nobody", () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const paced = flood(seed, 0.2, 0, true, 0.3).took;
    const free = flood(seed, 0.2, 0, false, 0.3).took;
    assert.ok(paced > 0.8 * free, `seed ${seed}: ${paced} bytes, ${free} without the pace`);
  }
});
