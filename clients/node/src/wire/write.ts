// Writing datagrams, canonically: fields in order, shortest varints, what is empty left out.
import { crc32c } from "./crc32c.js";
import {
  type Gap, type Header, type Heartbeat, type Id, type Leave, type Nak, type Start, type Status,
  FrameKind, HEADER_LEN, MAX_MESSAGES, START_LEN,
} from "./types.js";

/** The bytes that a varint of n takes, n below 2^28. */
export function varintLen(n: number): number {
  return n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x200000 ? 3 : 4;
}

/** Writes a number of 64 bits; a number is an integer from 0 to 2^53. */
function put64(b: Buffer, at: number, v: bigint | number): number {
  if (typeof v === "number") {
    b.writeUInt32LE(v % 0x1_0000_0000, at);
    b.writeUInt32LE(Math.floor(v / 0x1_0000_0000), at + 4);
  } else {
    b.writeBigUInt64LE(v, at);
  }
  return at + 8;
}

function putVarint(b: Uint8Array, at: number, n: number): number {
  while (n >= 0x80) {
    b[at++] = (n & 0x7f) | 0x80;
    n >>>= 7;
  }
  b[at++] = n;
  return at;
}

function f64(b: Buffer, at: number, field: number, v: bigint | number): number {
  b[at] = (field << 3) | 1;
  return put64(b, at + 1, v);
}

function f32(b: Buffer, at: number, field: number, v: number): number {
  b[at] = (field << 3) | 5;
  b.writeUInt32LE(v, at + 1);
  return at + 5;
}

function member(b: Buffer, at: number, field: number, id: Id): number {
  b[at] = (field << 3) | 2;
  b[at + 1] = 16;
  b.write(id, at + 2, 16, "latin1");
  return at + 18;
}

/** Writes the header at b[at..]; seal puts the CRC in. */
export function putHeader(b: Buffer, at: number, h: Header): number {
  let p = f32(b, at, 1, 1);
  p = f64(b, p, 2, h.cluster);
  p = f32(b, p, 3, 0);
  p = member(b, p, 4, h.transmitter);
  p = f32(b, p, 5, h.incarnation);
  return f32(b, p, 6, h.stream);
}

/** Puts the CRC into a datagram whose header is at its beginning. */
export function seal(b: Buffer): Buffer {
  b.writeUInt32LE(crc32c(b, 19), 15);
  return b;
}

/** Begins a frame: the tag and room for a length of lengthLen bytes, filled in with n. */
function frame(b: Buffer, at: number, kind: number, n: number): number {
  return putVarint(b, putVarint(b, at, (kind << 3) | 2), n);
}

function putGaps(b: Buffer, p: number, field: number, gaps: readonly Gap[]): number {
  for (const g of gaps) {
    b[p] = (field << 3) | 2;
    b[p + 1] = 14;
    p = f32(b, f64(b, p + 2, 1, g.first), 2, g.count);
  }
  return p;
}

function putNak(b: Buffer, p: number, n: Nak): number {
  p = frame(b, p, FrameKind.Nak, 23 + 16 * (n.gaps.length + n.again.length));
  p = f32(b, member(b, p, 1, n.origin), 2, n.originIncarnation);
  return putGaps(b, putGaps(b, p, 3, n.gaps), 4, n.again);
}

/** How many gaps a Nak takes in room bytes. */
export function nakRoom(room: number): number {
  return Math.max(0, Math.min(1024, Math.floor((room - 3 - 23) / 16)));
}

function putHeartbeat(b: Buffer, p: number, h: Heartbeat): number {
  const n = 55 + (h.wantStatus ? 2 : 0) + (h.pause ? 5 : 0) + (h.evicted ? 2 : 0) + (h.every ? 5 : 0) + (h.usualTrip ? 5 : 0);
  p = frame(b, p, FrameKind.Heartbeat, n);
  p = f64(b, p, 1, h.first);
  p = f64(b, p, 2, h.last);
  p = f64(b, p, 3, h.firstMessage);
  p = f64(b, p, 4, h.nextMessage);
  p = f64(b, p, 5, h.sentAt);
  p = f32(b, p, 6, h.roundTrip);
  p = f32(b, p, 7, h.receivers);
  if (h.wantStatus) p = bool(b, p, 8);
  if (h.pause) p = f32(b, p, 9, h.pause);
  if (h.evicted) p = bool(b, p, 10);
  if (h.every) p = f32(b, p, 11, h.every);
  if (h.usualTrip) p = f32(b, p, 12, h.usualTrip);
  return p;
}

function bool(b: Buffer, p: number, field: number): number {
  b[p] = field << 3;
  b[p + 1] = 1;
  return p + 2;
}

function putStatus(b: Buffer, p: number, s: Status): number {
  const n = 87 + (s.pause ? 5 : 0) + (s.arrived ? 9 : 0) + (s.clock ? 9 : 0) + (s.every ? 5 : 0) + (s.noGroup ? 2 : 0);
  p = frame(b, p, FrameKind.Status, n);
  p = f32(b, member(b, p, 1, s.origin), 2, s.originIncarnation);
  p = f64(b, p, 3, s.next);
  p = f64(b, p, 4, s.highest);
  p = f64(b, p, 5, s.limit);
  p = f32(b, p, 6, s.room);
  p = f64(b, p, 7, s.echo);
  p = f32(b, p, 8, s.held);
  p = f64(b, p, 9, s.missed);
  p = f64(b, p, 10, s.gone);
  if (s.pause) p = f32(b, p, 11, s.pause);
  if (s.arrived) p = f64(b, p, 12, s.arrived);
  if (s.clock) p = f64(b, p, 13, s.clock);
  if (s.every) p = f32(b, p, 14, s.every);
  if (s.noGroup) p = bool(b, p, 15);
  return p;
}

function putStart(b: Buffer, p: number, s: StartFields): number {
  p = frame(b, p, FrameKind.Start, 32);
  p = f64(b, p, 1, s.first);
  p = f64(b, p, 2, s.firstMessage);
  p = f64(b, p, 3, s.age);
  return f32(b, p, 4, s.lanes);
}

function putLeave(b: Buffer, p: number, l: Leave): number {
  if (l.last === undefined || l.nextMessage === undefined) return frame(b, p, FrameKind.Leave, 0);
  p = frame(b, p, FrameKind.Leave, 18);
  return f64(b, f64(b, p, 1, l.last), 2, l.nextMessage);
}

/** A Start whose numbers may be plain numbers: those of an own stream are small. */
export interface StartFields {
  first: bigint | number;
  firstMessage: bigint | number;
  age: bigint | number;
  lanes: number;
}

/** A frame that writeControl takes. */
export type Control = Nak | Heartbeat | Status | Start | Leave;

const scratch = Buffer.alloc(65536);

/** One datagram with these frames, which are not Data. */
export function writeControl(h: Header, frames: readonly Control[]): Buffer {
  let p = putHeader(scratch, 0, h);
  for (const f of frames) {
    switch (f.kind) {
      case FrameKind.Nak: p = putNak(scratch, p, f); break;
      case FrameKind.Heartbeat: p = putHeartbeat(scratch, p, f); break;
      case FrameKind.Status: p = putStatus(scratch, p, f); break;
      case FrameKind.Start: p = putStart(scratch, p, f); break;
      case FrameKind.Leave: p = putLeave(scratch, p, f); break;
    }
  }
  const b = Buffer.allocUnsafe(p);
  scratch.copy(b, 0, 0, p);
  return seal(b);
}

/** A message that writeData takes. */
export interface Out {
  topic: string;
  kind: number;
  payload: Uint8Array;
}

/** One datagram with a Data of these messages, and a Start behind it where there is one: for tests and tools. */
export function writeData(
  h: Header, number: bigint, firstMessage: bigint, messages: readonly Out[],
  part?: { offset: number; size: number }, start?: Start,
): Buffer {
  const w = new DataWriter(65535, h, number, firstMessage);
  if (start && !w.reserveStart()) throw new RangeError("no room for a Start");
  for (const m of messages) {
    const topic = Buffer.from(m.topic, "utf8");
    const ok = part ? w.addFragment(topic, m.topic, m.kind, part.offset, part.size, m.payload) : w.add(topic, m.topic, m.kind, m.payload);
    if (!ok) throw new RangeError("the messages do not fit a datagram");
  }
  return w.finish(start);
}

const BODY_AT = HEADER_LEN + 1 + 3; // header, tag and the longest length fit in front
const DATA_HEAD = 18;
const FRAGMENT_HEAD = 30;

/** The longest content of a length-delimited field, without its tag, that takes room bytes with its length. */
function fit(room: number): number {
  for (let n = room - 1; n >= 0 && n >= room - 4; n--) {
    if (varintLen(n) + n <= room) return n;
  }
  return -1;
}

function payloadRoom(room: number, topicPart: number): number {
  const rest = fit(room - 1) - topicPart - 2;
  return rest < 0 ? -1 : Math.max(fit(rest - 1), 0);
}

/** The longest payload of a message that is alone in a datagram of max bytes, with a topic of n bytes; -1: none. */
export function messageRoom(max: number, n: number): number {
  return payloadRoom(fit(max - HEADER_LEN - 1) - DATA_HEAD, 1 + varintLen(n) + n);
}

/** The longest part that addFragment takes in a datagram of max bytes, with a topic of n bytes. */
export function fragmentRoom(max: number, n: number): number {
  return payloadRoom(fit(max - HEADER_LEN - 1) - FRAGMENT_HEAD, 1 + varintLen(n) + n);
}

/** Packs messages into one datagram of at most max bytes. Topics are 1 to 255 bytes, kinds 0 to 127. */
export class DataWriter {
  private readonly b: Buffer;
  private pos = BODY_AT + DATA_HEAD;
  private limit: number;
  private topic = "";
  private fragment = false;
  count = 0;

  constructor(
    private readonly max: number, private readonly header: Header,
    private readonly number: bigint | number, private readonly first: bigint | number,
  ) {
    this.b = Buffer.allocUnsafeSlow(max + 4);
    this.limit = BODY_AT + fit(max - HEADER_LEN - 1);
  }

  /** Keeps room for a Start behind the Data. False: it does not fit. */
  reserveStart(): boolean {
    const limit = BODY_AT + fit(this.max - START_LEN - HEADER_LEN - 1);
    if (this.pos > limit) return false;
    this.limit = limit;
    return true;
  }

  /** Appends one message. False: it does not fit, and nothing has changed. */
  add(topic: Uint8Array, name: string, kind: number, payload: Uint8Array): boolean {
    if (this.fragment || this.count === MAX_MESSAGES) return false;
    return this.put(topic, name, kind, payload);
  }

  /** Makes part, from offset on of a payload of size bytes, the only message. False: it does not fit. */
  addFragment(topic: Uint8Array, name: string, kind: number, offset: number, size: number, part: Uint8Array): boolean {
    if (this.count > 0) return false;
    this.pos = BODY_AT + FRAGMENT_HEAD;
    if (!this.put(topic, name, kind, part)) {
      this.pos = BODY_AT + DATA_HEAD;
      return false;
    }
    const p = BODY_AT + DATA_HEAD;
    this.b[p] = 0x1a;
    this.b[p + 1] = 10;
    f32(this.b, f32(this.b, p + 2, 1, offset), 2, size);
    this.fragment = true;
    return true;
  }

  private put(topic: Uint8Array, name: string, kind: number, payload: Uint8Array): boolean {
    const b = this.b;
    const n = payload.length;
    const repeats = name === this.topic;
    let inner = repeats ? 0 : 1 + varintLen(topic.length) + topic.length;
    if (kind !== 0) inner += 2;
    if (n > 0) inner += 1 + varintLen(n) + n;
    let p = this.pos;
    const end = p + 1 + varintLen(inner) + inner;
    if (end > this.limit) return false;
    b[p] = 0x22;
    p = putVarint(b, p + 1, inner);
    if (!repeats) {
      b[p] = 0x0a;
      p = putVarint(b, p + 1, topic.length);
      b.set(topic, p);
      p += topic.length;
      this.topic = name;
    }
    if (kind !== 0) {
      b[p] = 0x10;
      b[p + 1] = kind;
      p += 2;
    }
    if (n > 0) {
      b[p] = 0x1a;
      p = putVarint(b, p + 1, n);
      b.set(payload, p);
    }
    this.pos = end;
    this.count++;
    return true;
  }

  /** Closes and seals the datagram, with a Start behind the Data where there is one. */
  finish(start?: StartFields): Buffer {
    const b = this.b;
    const body = this.pos - BODY_AT;
    f64(b, f64(b, BODY_AT, 1, this.number), 2, this.first);
    const off = BODY_AT - 1 - varintLen(body) - HEADER_LEN;
    const p = putHeader(b, off, this.header);
    b[p] = 0x62;
    putVarint(b, p + 1, body);
    let end = this.pos;
    if (start) end = putStart(b, end, start);
    return seal(b.subarray(off, end) as Buffer);
  }
}

/** The datagram b, which ends with a Start, with another one. */
export function withStart(b: Buffer, start: StartFields): Buffer {
  const c = Buffer.from(b);
  putStart(c, c.length - START_LEN, start);
  return seal(c);
}
