// Reading datagrams. What is laid out canonically is read by hand, here. Everything else goes to general.ts, where
// generated code reads it.
import { isUtf8 } from "node:buffer";
import { crc32c } from "./crc32c.js";
import { decodeGeneral, generalFrame } from "./general.js";
import {
  type Data, type Datagram, type Fault, type Frame, type Gap, type Heartbeat, type Leave, type Nak, type Packed, type Start,
  type Status, FrameKind, HEADER_LEN, MAX64, MAX_FRAMES, MAX_GAPS, MAX_KIND, MAX_MESSAGES, MAX_TOPIC,
} from "./types.js";

/** An empty datagram, to be decoded into. */
export function newDatagram(): Datagram {
  return { cluster: 0n, transmitter: "", incarnation: 0, stream: 0, canonical: false, frames: [] };
}

/**
 * Decodes b into d: the header, its CRC, every frame and every message. d keeps parts of b. It returns why b is
 * refused, and then d is unspecified; undefined: it is not. Version and CRC are judged before frames are.
 */
export function decode(b: Buffer, d: Datagram): Fault | undefined {
  d.frames = [];
  if (!isCanonicalHeader(b)) return decodeGeneral(b, d);
  const v = new DataView(b.buffer, b.byteOffset, b.length);
  if (v.getUint32(1, true) !== 1) return "version";
  if (v.getUint32(15, true) !== crc32c(b, 19)) return "checksum";
  d.cluster = v.getBigUint64(6, true);
  d.transmitter = b.toString("latin1", 21, 37);
  d.incarnation = v.getUint32(38, true);
  d.stream = v.getUint32(43, true);
  d.canonical = true;
  let last = 0;
  for (let p = HEADER_LEN; p < b.length; ) {
    // Tag and length of a frame, canonical: 0x62, 0x6A, 0x72, 0x7A, or 0x82 0x01 and 0x8A 0x01, then a short varint.
    let kind = 0;
    let q = p + 1;
    const tag = b[p]!;
    if ((tag & ~0x18) === 0x62) kind = tag >> 3;
    else if ((tag === 0x82 || tag === 0x8a) && b[q] === 1) {
      kind = tag === 0x82 ? FrameKind.Start : FrameKind.Leave;
      q++;
    }
    const n = kind ? shortVarint(b, q) : -1;
    if (n < 0) return decodeGeneral(b, d); // something that the general path has to look at
    q += varintSize;
    if (n > b.length - q) return decodeGeneral(b, d);
    if (d.frames.length === MAX_FRAMES) return "range";
    const f = canonicalFrame(kind, b, v, q, q + n);
    if (f) {
      d.frames.push(f);
    } else {
      d.canonical = false;
      const why = generalFrame(kind, b.subarray(q, q + n), d.frames);
      if (why) return why;
    }
    if (kind < last) d.canonical = false;
    last = kind;
    p = q + n;
  }
  return undefined;
}

/** The cluster of a datagram with a canonical header; undefined: it has none. */
export function peekCluster(b: Buffer): bigint | undefined {
  return isCanonicalHeader(b) ? b.readBigUInt64LE(6) : undefined;
}

function isCanonicalHeader(b: Uint8Array): boolean {
  return (
    b.length >= HEADER_LEN && b[0] === 0x0d && b[5] === 0x11 && b[14] === 0x1d && b[19] === 0x22 && b[20] === 16 &&
    b[37] === 0x2d && b[42] === 0x35
  );
}

let varintSize = 0; // of the last shortVarint

/** A shortest varint of up to 3 bytes; negative: it is none. */
function shortVarint(b: Uint8Array, p: number): number {
  const x = b[p];
  if (x === undefined) return -1;
  if (x < 0x80) {
    varintSize = 1;
    return x;
  }
  const y = b[p + 1];
  if (y === undefined) return -1;
  if (y < 0x80) {
    varintSize = 2;
    return y === 0 ? -1 : (x & 0x7f) | (y << 7);
  }
  const z = b[p + 2];
  if (z === undefined || z >= 0x80 || z === 0) return -1;
  varintSize = 3;
  return (x & 0x7f) | ((y & 0x7f) << 7) | (z << 14);
}

/** A frame in the canonical layout and in its bounds; undefined: it is not, and has to be looked at again. */
function canonicalFrame(kind: number, b: Buffer, v: DataView, p: number, end: number): Frame | undefined {
  switch (kind) {
    case FrameKind.Data: return canonicalData(b, v, p, end);
    case FrameKind.Nak: return canonicalNak(b, v, p, end);
    case FrameKind.Heartbeat: return canonicalHeartbeat(b, v, p, end);
    case FrameKind.Status: return canonicalStatus(b, v, p, end);
    case FrameKind.Start: return canonicalStart(b, v, p, end);
    case FrameKind.Leave: return canonicalLeave(b, v, p, end);
  }
  return undefined;
}

function canonicalData(b: Buffer, v: DataView, p: number, end: number): Data | undefined {
  if (end - p < 23 || b[p] !== 0x09 || b[p + 9] !== 0x11) return undefined;
  const number = v.getBigUint64(p + 1, true);
  const firstMessage = v.getBigUint64(p + 10, true);
  let fragment = false;
  let offset = 0;
  let size = 0;
  p += 18;
  if (b[p] === 0x1a) {
    if (end - p < 12 + 5 || b[p + 1] !== 10 || b[p + 2] !== 0x0d || b[p + 7] !== 0x15) return undefined;
    fragment = true;
    offset = v.getUint32(p + 3, true);
    size = v.getUint32(p + 8, true);
    p += 12;
  }
  const messages: Packed[] = [];
  let topic = "";
  while (p < end) {
    if (b[p] !== 0x22) return undefined;
    const n = shortVarint(b, p + 1);
    if (n < 0) return undefined;
    p += 1 + varintSize;
    const stop = p + n;
    if (stop > end) return undefined;
    if (p < stop && b[p] === 0x0a) {
      const len = shortVarint(b, p + 1);
      const at = p + 1 + varintSize;
      if (len < 1 || len > MAX_TOPIC || at + len > stop) return undefined;
      if (!isUtf8(b.subarray(at, at + len))) return undefined;
      topic = b.toString("utf8", at, at + len);
      p = at + len;
    }
    if (topic === "") return undefined;
    let kind = 0;
    if (p < stop && b[p] === 0x10) {
      if (p + 1 >= stop) return undefined;
      kind = b[p + 1]!;
      if (kind === 0 || kind > MAX_KIND) return undefined;
      p += 2;
    }
    if (p < stop) {
      if (b[p] !== 0x1a) return undefined;
      const len = shortVarint(b, p + 1);
      if (len < 1) return undefined;
      p += 1 + varintSize;
      if (p + len !== stop) return undefined;
    }
    messages.push({ topic, kind, start: p, end: stop });
    p = stop;
  }
  const d: Data = { kind: FrameKind.Data, number, firstMessage, fragment, offset, size, messages, bytes: b };
  return dataInRange(d) ? d : undefined;
}

/** Reports whether a Data is in its bounds, topics and kinds aside. */
export function dataInRange(d: Data): boolean {
  const n = d.messages.length;
  if (d.number < 1n || d.number === MAX64 || d.firstMessage < 1n) return false;
  if (n < 1 || n > MAX_MESSAGES || d.firstMessage > MAX64 - BigInt(n)) return false;
  if (!d.fragment) return true;
  const m = d.messages[0]!;
  return n === 1 && m.end > m.start && d.offset + (m.end - m.start) <= d.size;
}

function canonicalGaps(b: Buffer, v: DataView, p: number, end: number, tag: number, list: Gap[]): number {
  for (; p + 16 <= end && b[p] === tag; p += 16) {
    if (b[p + 1] !== 14 || b[p + 2] !== 0x09 || b[p + 11] !== 0x15) return -1;
    const g = { first: v.getBigUint64(p + 3, true), count: v.getUint32(p + 12, true) };
    if (!gapInRange(g)) return -1;
    list.push(g);
  }
  return p;
}

export function gapInRange(g: Gap): boolean {
  return g.first >= 1n && g.count >= 1 && g.first <= MAX64 - BigInt(g.count);
}

function canonicalNak(b: Buffer, v: DataView, p: number, end: number): Nak | undefined {
  if (end - p < 23 + 16 || b[p] !== 0x0a || b[p + 1] !== 16 || b[p + 18] !== 0x15) return undefined;
  const f: Nak = {
    kind: FrameKind.Nak, origin: b.toString("latin1", p + 2, p + 18), originIncarnation: v.getUint32(p + 19, true), gaps: [], again: [],
  };
  p = canonicalGaps(b, v, p + 23, end, 0x1a, f.gaps);
  if (p < 0) return undefined;
  p = canonicalGaps(b, v, p, end, 0x22, f.again);
  return p === end && f.gaps.length + f.again.length <= MAX_GAPS ? f : undefined;
}

function canonicalHeartbeat(b: Buffer, v: DataView, p: number, end: number): Heartbeat | undefined {
  if (
    end - p < 55 || b[p] !== 0x09 || b[p + 9] !== 0x11 || b[p + 18] !== 0x19 || b[p + 27] !== 0x21 || b[p + 36] !== 0x29 ||
    b[p + 45] !== 0x35 || b[p + 50] !== 0x3d
  ) return undefined;
  const f: Heartbeat = {
    kind: FrameKind.Heartbeat, first: v.getBigUint64(p + 1, true), last: v.getBigUint64(p + 10, true),
    firstMessage: v.getBigUint64(p + 19, true), nextMessage: v.getBigUint64(p + 28, true), sentAt: v.getBigUint64(p + 37, true),
    roundTrip: v.getUint32(p + 46, true), receivers: v.getUint32(p + 51, true),
    wantStatus: undefined, pause: undefined, evicted: undefined, every: undefined, usualTrip: undefined,
  };
  p += 55;
  if (p + 2 <= end && b[p] === 0x40 && b[p + 1] === 1) (f.wantStatus = true), (p += 2);
  if (p + 5 <= end && b[p] === 0x4d) (f.pause = v.getUint32(p + 1, true)), (p += 5);
  if (p + 2 <= end && b[p] === 0x50 && b[p + 1] === 1) (f.evicted = true), (p += 2);
  if (p + 5 <= end && b[p] === 0x5d) (f.every = v.getUint32(p + 1, true)), (p += 5);
  if (p + 5 <= end && b[p] === 0x65) (f.usualTrip = v.getUint32(p + 1, true)), (p += 5);
  return p === end && heartbeatInRange(f) ? f : undefined;
}

export function heartbeatInRange(f: Heartbeat): boolean {
  return (
    f.last !== MAX64 && f.first >= 1n && f.first <= f.last + 1n && f.firstMessage >= 1n && f.firstMessage <= f.nextMessage &&
    f.pause !== 0 && f.every !== 0 && f.usualTrip !== 0
  );
}

function canonicalStatus(b: Buffer, v: DataView, p: number, end: number): Status | undefined {
  if (
    end - p < 87 || b[p] !== 0x0a || b[p + 1] !== 16 || b[p + 18] !== 0x15 || b[p + 23] !== 0x19 || b[p + 32] !== 0x21 ||
    b[p + 41] !== 0x29 || b[p + 50] !== 0x35 || b[p + 55] !== 0x39 || b[p + 64] !== 0x45 || b[p + 69] !== 0x49 || b[p + 78] !== 0x51
  ) return undefined;
  const f: Status = {
    kind: FrameKind.Status, origin: b.toString("latin1", p + 2, p + 18), originIncarnation: v.getUint32(p + 19, true),
    next: v.getBigUint64(p + 24, true), highest: v.getBigUint64(p + 33, true), limit: v.getBigUint64(p + 42, true),
    room: v.getUint32(p + 51, true), echo: v.getBigUint64(p + 56, true), held: v.getUint32(p + 65, true),
    missed: v.getBigUint64(p + 70, true), gone: v.getBigUint64(p + 79, true),
    pause: undefined, arrived: undefined, clock: undefined, every: undefined, noGroup: undefined,
  };
  p += 87;
  if (p + 5 <= end && b[p] === 0x5d) (f.pause = v.getUint32(p + 1, true)), (p += 5);
  if (p + 9 <= end && b[p] === 0x61) (f.arrived = v.getBigUint64(p + 1, true)), (p += 9);
  if (p + 9 <= end && b[p] === 0x69) (f.clock = v.getBigUint64(p + 1, true)), (p += 9);
  if (p + 5 <= end && b[p] === 0x75) (f.every = v.getUint32(p + 1, true)), (p += 5);
  if (p + 2 <= end && b[p] === 0x78 && b[p + 1] === 1) (f.noGroup = true), (p += 2);
  return p === end && statusInRange(f) ? f : undefined;
}

export function statusInRange(f: Status): boolean {
  return (
    f.next >= 1n && f.next <= f.highest && f.next <= f.limit && f.pause !== 0 && f.arrived !== 0n && f.clock !== 0n && f.every !== 0
  );
}

function canonicalStart(b: Buffer, v: DataView, p: number, end: number): Start | undefined {
  if (end - p !== 32 || b[p] !== 0x09 || b[p + 9] !== 0x11 || b[p + 18] !== 0x19 || b[p + 27] !== 0x25) return undefined;
  const f: Start = {
    kind: FrameKind.Start, first: v.getBigUint64(p + 1, true), firstMessage: v.getBigUint64(p + 10, true),
    age: v.getBigUint64(p + 19, true), lanes: v.getUint32(p + 28, true),
  };
  return startInRange(f) ? f : undefined;
}

export function startInRange(f: Start): boolean {
  return f.first >= 1n && f.first !== MAX64 && f.firstMessage >= 1n && f.lanes >= 1 && f.lanes <= 1 << 16;
}

function canonicalLeave(b: Buffer, v: DataView, p: number, end: number): Leave | undefined {
  if (end === p) return { kind: FrameKind.Leave, last: undefined, nextMessage: undefined };
  if (end - p !== 18 || b[p] !== 0x09 || b[p + 9] !== 0x11) return undefined;
  const f: Leave = { kind: FrameKind.Leave, last: v.getBigUint64(p + 1, true), nextMessage: v.getBigUint64(p + 10, true) };
  return leaveInRange(f) ? f : undefined;
}

export function leaveInRange(f: Leave): boolean {
  return f.last === undefined || (f.last !== MAX64 && f.nextMessage! >= 1n);
}
