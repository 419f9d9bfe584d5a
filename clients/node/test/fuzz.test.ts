// Mutated vectors into a core: no exception, no growth, no effect on another stream. FUZZ_COUNT says how many; the default
// takes seconds.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Protocol } from "../src/core/protocol.js";
import { Random, SECOND } from "../src/core/timing.js";
import { BlazeError, Message } from "../src/index.js";
import { type Start, clusterHash, decode, newDatagram, seal, writeData } from "../src/wire/index.js";
import { root } from "./hex.js";

const count = Number(process.env["FUZZ_COUNT"] ?? 10_000);
const seed = Number(process.env["FUZZ_SEED"] ?? 1);
const json = (f: string): { [k: string]: { bytes: string }[] } => JSON.parse(readFileSync(root + "wire/testdata/" + f, "utf8"));

function mutate(r: Random, b: Buffer): Buffer {
  let c: Buffer = Buffer.from(b);
  for (let n = 1 + r.below(4); n > 0 && c.length > 0; n--) {
    const at = r.below(c.length);
    switch (r.below(5)) {
      case 0: c[at] = r.below(256); break;
      case 1: c[at]! ^= 1 << r.below(8); break;
      case 2: c = c.subarray(0, at); break;
      case 3: c = Buffer.concat([c.subarray(0, at), c.subarray(r.below(c.length))]); break;
      case 4: c = Buffer.concat([c.subarray(0, at), Buffer.from([0xff, r.below(256)]), c.subarray(at)]); break;
    }
    if (c.length > 65507) c = c.subarray(0, 65507);
  }
  if (c.length > 47 && r.below(8) > 0) {
    for (const [i, tag] of [[0, 0x0d], [5, 0x11], [14, 0x1d], [19, 0x22], [20, 16], [37, 0x2d], [42, 0x35]] as const) c[i] = tag;
    c.writeUInt32LE(1, 1);
    if (r.below(4) > 0) c.writeUInt32LE(0x2000000 + r.below(2), 43);
    seal(c);
  }
  return c;
}

test(`${count} mutated datagrams`, () => {
  const vectors = json("vectors.json")["datagrams"]!.map((v) => Buffer.from(v.bytes, "hex"));
  const r = new Random(seed);
  let got = 0;
  const good = "goodgoodgoodgood";
  const p = new Protocol({
    self: "0123456789abcdef", incarnation: 0, cluster: clusterHash("test"), datagram: 1472, window: 1 << 20, maxMessageSize: 1 << 16,
    eviction: SECOND, repairTimeout: 5 * SECOND, room: 1 << 20, lanes: 1, maxStreams: 32, selfDelivery: false, fastest: false, freePace: false, random: r,
  }, {
    deliver: (d) => {
      if (d.from === good) assert.equal(Number(d.sequence), ++got);
      return r.below(50) > 0 || d.from === good;
    },
    lost: (l) => assert.notEqual(l.from, good, "a stream that nobody forged lost messages"),
    event: () => undefined,
  });
  let now = 1;
  p.startAt(now);
  const sender = p.open(now, 2, 0);
  const h = { cluster: clusterHash("test"), transmitter: good, incarnation: 1, stream: 0x2000000 };
  const start: Start = { kind: 16, first: 1n, firstMessage: 1n, age: 0n, lanes: 1 };
  const d = newDatagram();
  let sent = 0;
  const turn = (): void => {
    p.deliver(now);
    p.tick(now);
    p.flush(now);
    for (let s = p.pollSend(now); s; s = p.pollSend(now)) assert.equal(decode(s.bytes, newDatagram()), undefined);
  };
  for (let i = 0; i < count; i++) {
    now += r.below(200_000);
    const b = mutate(r, vectors[r.below(vectors.length)]!);
    const why = decode(b, d);
    if (!why && d.transmitter !== good && d.transmitter !== p.cfg.self) p.step(now, d, b.length, "10.0.0.1:1", r.below(2) > 0);
    if (i % 16 === 0) turn();
    if (i % 64 === 0) {
      sent++;
      const x = writeData(h, BigInt(sent), BigInt(sent), [{ topic: "t", kind: 0, payload: Buffer.from("x") }], undefined, sent < 3 ? start : undefined);
      assert.equal(decode(x, d), undefined);
      p.step(now, d, x.length, "10.0.0.2:2", true);
      sender.offer(now, { name: "t", bytes: Buffer.from("t") }, 0, Buffer.alloc(100));
    }
  }
  assert.equal(got, sent);
  assert.ok(p.streams.size <= 32 && p.held <= 4 * p.window && sender.receivers.length <= 1024);
});

test(`${count} mutated messages`, () => {
  const vectors = json("messages.json")["messages"]!.map((v) => Buffer.from(v.bytes, "hex"));
  const r = new Random(seed + 1);
  let read = 0;
  for (let i = 0; i < count; i++) {
    let b = vectors[r.below(vectors.length)]!;
    b = Buffer.from(b);
    for (let n = 1 + r.below(3); n > 0 && b.length > 0; n--) b[r.below(b.length)] = r.below(256);
    let m: Message;
    try {
      m = Message.unmarshal(b);
    } catch (e) {
      assert.ok(e instanceof BlazeError && e.code === "ErrMalformed", String(e));
      continue;
    }
    read++;
    const again = m.marshal();
    assert.deepEqual(Message.unmarshal(again).marshal(), again);
  }
  assert.ok(read > count / 100);
});
