import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import * as pb from "../src/gen/blaze_pb.js";
import {
  type Control, type Data, type Datagram, type Start, FrameKind, clusterHash, crc32c, decode, fnv32, newDatagram, seal, writeControl, writeData,
} from "../src/wire/index.js";
import { hexFiles } from "./hex.js";

const vectors = hexFiles("wire/testdata");

/** The vectors that are one Datagram; the others are messages of a cluster. */
const datagrams = [...vectors].filter(([, b]) => b[0] === 0x0d);

/** Writes a datagram again, where it has frames that this member writes; undefined: it has others. */
export function rewrite(d: Datagram): Buffer | undefined {
  const h = { cluster: d.cluster, transmitter: d.transmitter, incarnation: d.incarnation, stream: d.stream };
  const data = d.frames.filter((f): f is Data => f.kind === FrameKind.Data);
  if (data.length === 0) {
    if (d.frames.some((f) => f.kind === 0)) return undefined;
    return writeControl(h, d.frames as Control[]);
  }
  const rest = d.frames.filter((f) => f.kind !== FrameKind.Data);
  if (data.length > 1 || rest.length > 1 || rest.some((f) => f.kind !== FrameKind.Start)) return undefined;
  const m = data[0]!;
  return writeData(
    h, m.number, m.firstMessage,
    m.messages.map((x) => ({ topic: x.topic, kind: x.kind, payload: m.bytes.subarray(x.start, x.end) })),
    m.fragment ? { offset: m.offset, size: m.size } : undefined, rest[0] as Start | undefined,
  );
}

test("every annotated vector is read, and written again byte by byte", () => {
  let again = 0;
  assert.ok(datagrams.length > 40);
  for (const [name, b] of datagrams) {
    const d = newDatagram();
    assert.equal(decode(b, d), undefined, name);
    const w = rewrite(d);
    if (w) {
      again++;
      assert.equal(w.toString("hex"), b.toString("hex"), name);
    }
  }
  assert.ok(again >= 20, `${again} vectors were written again`);
});

test("no strict prefix of a frame is taken", () => {
  for (const [name, b] of datagrams) {
    if (b.length === 47) continue;
    for (let n = 0; n < b.length; n++) {
      const c = Buffer.from(b.subarray(0, n));
      if (n >= 47) seal(c);
      const d = newDatagram();
      const why = decode(c, d);
      if (n < 47) assert.ok(why, `${name}: ${n} bytes`);
      else if (!why) assert.ok(n === 47 || d.frames.length < framesOf(b), `${name}: ${n} bytes`);
    }
  }
});

function framesOf(b: Buffer): number {
  const d = newDatagram();
  decode(b, d);
  return d.frames.length;
}

test("a datagram in another layout means the same", () => {
  for (const [name, b] of datagrams) {
    if (name === "all" || b.length > 1200) continue;
    const d = newDatagram();
    assert.equal(decode(b, d), undefined);
    // An unknown field in front of the frames sends all of it to the general path.
    const c = seal(Buffer.concat([b.subarray(0, 47), Buffer.from([0xfa, 0x06, 0x01, 0x00]), b.subarray(47)]));
    const e = newDatagram();
    assert.equal(decode(c, e), undefined, name);
    assert.equal(e.canonical, false);
    assert.deepEqual(plain(e), plain(d), name);
  }
});

/** A datagram without what depends on where its bytes lie. */
function plain(d: Datagram): unknown {
  return d.frames.map((f) => {
    if (f.kind !== FrameKind.Data) return { ...f };
    return { ...f, bytes: undefined, messages: f.messages.map((m) => [m.topic, m.kind, Buffer.from(f.bytes.subarray(m.start, m.end)).toString("hex")]) };
  });
}

test("version, CRC and header are judged in this order", () => {
  const b = vectors.get("data-start")!;
  const d = newDatagram();
  const version = Buffer.from(b);
  version[1] = 2;
  version[60]! ^= 1;
  assert.equal(decode(version, d), "version");
  const crc = Buffer.from(b);
  crc[60]! ^= 1;
  assert.equal(decode(crc, d), "checksum");
  assert.equal(decode(Buffer.alloc(0), d), "malformed");
  const twice = seal(Buffer.concat([b, Buffer.from([0x11, 1, 0, 0, 0, 0, 0, 0, 0])]));
  assert.equal(decode(twice, d), "malformed");
});

test("generated code writes what the recipe of docs/wire.md promises", () => {
  const m = create(pb.DatagramSchema, {
    version: 1, cluster: clusterHash("test"), crc32c: 0, transmitter: Buffer.alloc(16, 7), incarnation: 3, stream: 0x2000000,
    heartbeat: [{ first: 1n, last: 0n, firstMessage: 1n, nextMessage: 1n, sentAt: 5n, roundTrip: 0, receivers: 0 }],
  });
  const b = Buffer.from(toBinary(pb.DatagramSchema, m));
  assert.deepEqual([b[0], b[5], b[14]], [0x0d, 0x11, 0x1d]);
  seal(b);
  const d = newDatagram();
  assert.equal(decode(b, d), undefined);
  assert.equal(d.canonical, true);
  assert.equal(rewrite(d)!.toString("hex"), b.toString("hex"));
});

test("numbers of 64 bits keep all their bits", () => {
  const top = 0xffff_ffff_ffff_fffen;
  const h = { cluster: 1n, transmitter: "0123456789abcdef", incarnation: 1, stream: 0x2000000 };
  const b = writeData(h, top, top, [{ topic: "t", kind: 0, payload: Buffer.from("x") }]);
  const d = newDatagram();
  assert.equal(decode(b, d), undefined);
  assert.equal((d.frames[0] as Data).number, top);
  assert.equal((d.frames[0] as Data).firstMessage, top);
});

test("hashes", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  assert.equal(clusterHash(""), 0xcbf29ce484222325n);
  assert.equal(clusterHash("foobar"), 0x85944171f73967e8n);
  assert.equal(fnv32(Buffer.from("foobar")), 0xbf9cf968);
});
