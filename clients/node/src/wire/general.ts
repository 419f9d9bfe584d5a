// The general path: datagrams that are valid and not laid out canonically, and frames that this member judges without
// acting on them. Generated code reads them, and what it does not check is checked before (screen.ts) and behind it.
import { fromBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import * as pb from "../gen/blaze_pb.js";
import { crc32c } from "./crc32c.js";
import { dataInRange, gapInRange, heartbeatInRange, leaveInRange, startInRange, statusInRange } from "./read.js";
import { Malformed, Scanner, screen } from "./screen.js";
import {
  type Data, type Datagram, type Fault, type Frame, type Packed, FrameKind, HEADER_LEN, MAX64, MAX_FRAMES, MAX_GAPS, MAX_KIND,
  MAX_TOPIC, idOf,
} from "./types.js";

/** A value beyond its bound. */
class OutOfRange extends Error {}
const outOfRange = new OutOfRange("a value is out of its bounds");
/** A required field is missing. */
const missing = new Malformed();

function need<T>(v: T | undefined): T {
  if (v === undefined) throw missing;
  return v;
}

function within(ok: boolean): void {
  if (!ok) throw outOfRange;
}

function faultOf(e: unknown): Fault {
  return e instanceof OutOfRange ? "range" : "malformed"; // generated code throws what it cannot read
}

const headerType = [0, 5, 1, 5, 2, 5, 5];

/** Decodes a datagram in any layout. */
export function decodeGeneral(b: Buffer, d: Datagram): Fault | undefined {
  d.canonical = false;
  d.frames = [];
  let version = 0;
  let crc = 0;
  let covered = -1;
  let transmitter: Buffer | undefined;
  let seen = 0;
  let bad = false;
  try {
    const s = new Scanner(b);
    while (s.next()) {
      const f = s.field;
      if (f > 6 || headerType[f] !== s.type) continue;
      if (seen & (1 << f)) return "malformed";
      seen |= 1 << f;
      switch (f) {
        case 1: version = b.readUInt32LE(s.start); break;
        case 2: d.cluster = b.readBigUInt64LE(s.start); break;
        case 3: (crc = b.readUInt32LE(s.start)), (covered = s.pos); break;
        case 4: transmitter = b.subarray(s.start, s.pos); break;
        case 5: d.incarnation = b.readUInt32LE(s.start); break;
        case 6: d.stream = b.readUInt32LE(s.start); break;
      }
    }
  } catch {
    bad = true;
  }
  // With a canonical header the version and the CRC are judged before what follows it is looked at.
  const front = HEADER_LEN <= b.length && (seen & 0x7e) === 0x7e && covered === 19;
  if (bad && front) {
    if (version !== 1) return "version";
    if (crc !== crc32c(b, covered)) return "checksum";
    // Frames in front of the fault may be the reason for which Go refuses it; both are refusals.
  }
  if (bad || !(seen & 2)) return "malformed";
  if (version !== 1) return "version";
  if (seen !== 0x7e) return "malformed";
  if (crc !== crc32c(b, covered)) return "checksum";
  if (transmitter!.length !== 16) return "range";
  d.transmitter = idOf(transmitter!);
  const s = new Scanner(b);
  while (s.next()) {
    if (s.type !== 2 || !frames.has(s.field)) continue;
    if (d.frames.length === MAX_FRAMES) return "range";
    const why = generalFrame(s.field, b.subarray(s.start, s.pos), d.frames);
    if (why) return why;
  }
  return undefined;
}

/** Reads one frame in any layout and appends it to list. */
export function generalFrame(kind: number, b: Buffer, list: Frame[]): Fault | undefined {
  try {
    list.push(frames.get(kind)!(b));
    return undefined;
  } catch (e) {
    return faultOf(e);
  }
}

function read<D extends DescMessage>(desc: D, b: Uint8Array): MessageShape<D> {
  return fromBinary(desc, screen(b, desc), { readUnknownFields: false });
}

/** A frame that is judged and not acted on. */
function judged<D extends DescMessage>(number: number, desc: D, check: (m: MessageShape<D>) => void): (b: Buffer) => Frame {
  return (b) => {
    const message = read(desc, b);
    check(message);
    return { kind: 0, number, message };
  };
}

function data(b: Buffer): Data {
  const m = read(pb.DataSchema, b);
  const f: Data = {
    kind: FrameKind.Data, number: need(m.number), firstMessage: need(m.firstMessage), fragment: m.fragment !== undefined,
    offset: 0, size: 0, messages: [], bytes: b,
  };
  if (m.fragment) {
    f.offset = need(m.fragment.offset);
    f.size = need(m.fragment.size);
  }
  if (m.messages.length === 0) throw missing;
  let topic: string | undefined;
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const x of m.messages) {
    if (x.topic !== undefined) {
      const n = Buffer.byteLength(x.topic, "utf8");
      within(n >= 1 && n <= MAX_TOPIC);
      topic = x.topic;
    }
    const kind = x.kind ?? 0;
    within(kind >= 0 && kind <= MAX_KIND);
    const payload = x.payload ?? new Uint8Array(0);
    const packed: Packed = { topic: need(topic), kind, start: at, end: at + payload.length };
    parts.push(payload);
    at += payload.length;
    f.messages.push(packed);
  }
  f.bytes = Buffer.concat(parts, at);
  within(dataInRange(f));
  return f;
}

function ids(b: Uint8Array, most: number): void {
  within(b.length % 16 === 0 && b.length <= 16 * most);
  ascending(b, 16, 16);
}

/** Entries of width bytes whose first key bytes rise strictly. */
function ascending(b: Uint8Array, width: number, key: number): void {
  for (let at = width; at < b.length; at += width) {
    within(Buffer.compare(b.subarray(at - width, at - width + key), b.subarray(at, at + key)) < 0);
  }
}

const MAX_RING_SEQ = 1n << 62n;
const MIN_DATAGRAM = 548;

function ringSeq(n: bigint | undefined, least: bigint): bigint {
  need(n);
  within(n! >= least && n! <= MAX_RING_SEQ);
  return n!;
}

function standing(b: Uint8Array | undefined): void {
  if (b === undefined || b.length === 0) return;
  const v = Buffer.from(b.buffer, b.byteOffset, b.length);
  within(v.length >= 16 && v.readUInt32LE(0) >= MIN_DATAGRAM);
  const n = v.readUInt32LE(12);
  within(n <= 16 && n * 16 <= v.length - 16);
}

function numbered(n: bigint): boolean {
  return n >= 1n && n !== MAX64;
}

function names(list: readonly string[], most: number): void {
  within(list.length <= most);
  let last: Buffer | undefined;
  for (const s of list) {
    const b = Buffer.from(s, "utf8");
    within(b.length >= 1 && b.length <= 255 && (last === undefined || Buffer.compare(last, b) < 0));
    last = b;
  }
}

function interval(us: number): boolean {
  return us >= 1000 && us <= 60_000_000;
}

function record(r: pb.Record): void {
  const id = need(r.id);
  need(r.incarnation);
  need(r.version);
  need(r.started);
  const flags = need(r.flags);
  const address = need(r.address);
  const us = need(r.interval);
  for (const q of r.queues) {
    need(q.queue);
    need(q.rank);
    within(need(q.handlers) >= 1);
  }
  names(r.groups, 16384);
  names(r.queues.map((q) => q.queue!), 4096);
  within(id.length === 16 && address < 1n << 48n && interval(us));
  within(Buffer.byteLength(r.name ?? "", "utf8") <= 255);
  within(!(flags & 1) || r.groups.length + r.queues.length === 0);
}

const MAX_RECORD = 256 << 10;

/** Records are as long as they are on the wire. */
function recordLengths(b: Buffer, field: number): void {
  const s = new Scanner(b);
  while (s.next()) {
    if (s.field === field && s.type === 2) within(s.pos - s.start <= MAX_RECORD);
  }
}

const small = (n: number | undefined, least: number): number => {
  within(need(n) >= least && n! <= 127);
  return n!;
};

const frames = new Map<number, (b: Buffer) => Frame>([
  [FrameKind.Data, data],
  [FrameKind.Nak, (b) => {
    const m = read(pb.NakSchema, b);
    const origin = need(m.origin);
    const originIncarnation = need(m.originIncarnation);
    const gap = (g: pb.Gap) => ({ first: need(g.first), count: need(g.count) });
    const gaps = m.gaps.map(gap);
    const again = m.again.map(gap);
    within(origin.length === 16 && gaps.length + again.length >= 1 && gaps.length + again.length <= MAX_GAPS);
    within(gaps.every(gapInRange) && again.every(gapInRange));
    return { kind: FrameKind.Nak, origin: idOf(origin), originIncarnation, gaps, again };
  }],
  [FrameKind.Heartbeat, (b) => {
    const m = read(pb.HeartbeatSchema, b);
    const f = {
      kind: FrameKind.Heartbeat as const, first: need(m.first), last: need(m.last), firstMessage: need(m.firstMessage),
      nextMessage: need(m.nextMessage), sentAt: need(m.sentAt), roundTrip: need(m.roundTrip), receivers: need(m.receivers),
      wantStatus: m.wantStatus || undefined, pause: m.pause, evicted: m.evicted || undefined, every: m.every, usualTrip: m.usualTrip,
    };
    within(heartbeatInRange(f));
    return f;
  }],
  [FrameKind.Status, (b) => {
    const m = read(pb.StatusSchema, b);
    const origin = need(m.origin);
    const f = {
      kind: FrameKind.Status as const, origin: idOf(origin), originIncarnation: need(m.originIncarnation), next: need(m.next),
      highest: need(m.highest), limit: need(m.limit), room: need(m.room), echo: need(m.echo), held: need(m.held),
      missed: need(m.missed), gone: need(m.gone), pause: m.pause, arrived: m.arrived, clock: m.clock, every: m.every,
      noGroup: m.noGroup || undefined,
    };
    within(origin.length === 16 && statusInRange(f));
    return f;
  }],
  [FrameKind.Start, (b) => {
    const m = read(pb.StartSchema, b);
    const f = {
      kind: FrameKind.Start as const, first: need(m.first), firstMessage: need(m.firstMessage), age: need(m.age), lanes: need(m.lanes),
    };
    within(startInRange(f));
    return f;
  }],
  [FrameKind.Leave, (b) => {
    const m = read(pb.LeaveSchema, b);
    if ((m.last === undefined) !== (m.nextMessage === undefined)) throw missing;
    const f = { kind: FrameKind.Leave as const, last: m.last, nextMessage: m.nextMessage };
    within(leaveInRange(f));
    return f;
  }],
  [18, judged(18, pb.RingSchema, (m) => {
    need(m.rep);
    need(m.ringSeq);
    need(m.round);
    const flags = need(m.flags);
    within(((flags >>> 8) & 0xff) < 16 && ((flags >>> 16) & 0xff) < 16);
    within(m.number === undefined || numbered(m.number));
  })],
  [19, judged(19, pb.TokenSchema, (m) => {
    const rtr = need(m.rtr);
    const seq = need(m.seq);
    const aru = need(m.aru);
    const tokenSeq = need(m.tokenSeq);
    const rep = need(m.rep);
    const aruId = need(m.aruId);
    need(m.fcc);
    need(m.backlog);
    need(m.flags);
    ringSeq(m.ringSeq, 1n);
    within(rep.length === 16 && aruId.length === 16 && tokenSeq !== MAX64 && seq !== MAX64 && aru <= seq);
    within(rtr.length % 8 === 0 && rtr.length <= 8 * 64);
    const v = new DataView(rtr.buffer, rtr.byteOffset, rtr.length);
    for (let i = 0; i < rtr.length; i += 8) {
      const n = v.getBigUint64(i, true);
      within(n >= 1n && n <= seq);
    }
  })],
  [20, judged(20, pb.JoinSchema, (m) => {
    need(m.node);
    need(m.started);
    need(m.counter);
    const proc = need(m.proc);
    const fail = need(m.fail);
    standing(m.standing);
    ringSeq(m.ringSeq, 0n);
    ids(proc, 32);
    ids(fail, 32);
    within(m.datagram === undefined || m.datagram >= MIN_DATAGRAM);
  })],
  [21, judged(21, pb.CommitSchema, (m) => {
    const rep = need(m.rep);
    const index = need(m.index);
    const rings = need(m.rings);
    const entries = need(m.entries);
    ringSeq(m.ringSeq, 1n);
    within(rep.length === 16 && rings.length % 24 === 0 && entries.length % 42 === 0);
    const k = rings.length / 24;
    const n = entries.length / 42;
    within(n >= 1 && n <= 16 && k >= 1 && k <= 16 && index <= n);
    ascending(entries, 42, 16);
    within(Buffer.compare(rep, entries.subarray(0, 16)) === 0);
    const r = new DataView(rings.buffer, rings.byteOffset, rings.length);
    for (let i = 0; i < k; i++) ringSeq(r.getBigUint64(24 * i + 16, true), 1n);
    const e = new DataView(entries.buffer, entries.byteOffset, entries.length);
    for (let i = 0; i < n; i++) {
      const at = 42 * i;
      const [aru, high, bound] = [18, 26, 34].map((o) => e.getBigUint64(at + o, true)) as [bigint, bigint, bigint];
      within(entries[at + 16]! < k && bound <= aru && aru <= high && high !== MAX64);
    }
  })],
  [22, judged(22, pb.NoticeSchema, (m) => {
    const kind = need(m.kind);
    const rep = need(m.rep);
    ringSeq(m.ringSeq, 1n);
    standing(m.standing);
    within(rep.length === 16 && kind >= 1);
  })],
  [FrameKind.Repair, judged(FrameKind.Repair, pb.RepairSchema, (m) => {
    const block = need(m.block);
    for (const v of [m.scheme, m.stride, m.sources, m.repairs, m.index, m.symbol]) need<number | Uint8Array>(v);
    small(m.scheme, 1);
    small(m.repairs, 0);
    small(m.index, 0);
    const stride = small(m.stride, 1);
    const sources = small(m.sources, 1);
    within(block >= 1n && block + BigInt(stride * (sources - 1)) < MAX64 && m.symbol!.length > 0);
  })],
  [FrameKind.SymbolNak, judged(FrameKind.SymbolNak, pb.SymbolNakSchema, (m) => {
    const origin = need(m.origin);
    need(m.originIncarnation);
    for (const n of m.needs) {
      need(n.block);
      need(n.count);
    }
    within(origin.length === 16 && m.needs.length >= 1 && m.needs.length <= 64);
    for (const n of m.needs) within(numbered(n.block!) && n.count! >= 1 && n.count! <= 127);
  })],
  [23, judged(23, pb.PairSchema, (m) => {
    const to = need(m.to);
    const session = need(m.session);
    need(m.toIncarnation);
    const flags = need(m.flags);
    const number = need(m.number);
    const oldest = need(m.oldest);
    const known = need(m.known);
    const first = need(m.firstItem);
    let named = false;
    for (const i of m.items) {
      const head = need(i.head);
      need(i.call);
      if (head & 0x200) {
        need(i.offset);
        need(i.size);
      }
      const kind = head & 15;
      if (kind >= 1 && kind <= 4) {
        named ||= i.name !== undefined;
        if (!named) throw missing;
      }
      const payload = i.payload?.length ?? 0;
      within(Buffer.byteLength(i.name ?? "", "utf8") <= 255);
      within(!(head & 0x200) || (payload > 0 && i.offset! + payload <= i.size!));
    }
    within(to.length === 16 && session >= 1 && (flags & 3) < 3 && numbered(number) && oldest >= 1n && oldest <= number);
    within(known >= 1n && first >= 1n && m.items.length <= 64 && first <= MAX64 - BigInt(m.items.length));
  })],
  [26, judged(26, pb.PairAckSchema, (m) => {
    const to = need(m.to);
    const session = need(m.session);
    const flags = need(m.flags);
    const next = need(m.next);
    need(m.held);
    const taken = need(m.taken);
    const limit = need(m.limit);
    need(m.delay);
    within(to.length === 16 && session >= 1 && (flags & 3) < 3 && next >= 1n && taken >= 1n && limit >= next);
    const refused = m.refused ?? new Uint8Array(0);
    within(refused.length % 12 === 0 && refused.length <= 12 * 64);
    const v = new DataView(refused.buffer, refused.byteOffset, refused.length);
    let last = 0n;
    for (let at = 0; at < refused.length; at += 12) {
      const n = v.getBigUint64(at, true);
      within(numbered(n) && n > last && v.getUint32(at + 8, true) >= 1);
      last = n;
    }
  })],
  [27, judged(27, pb.BeatSchema, (m) => {
    need(m.version);
    need(m.digest);
    need(m.stall);
    const us = need(m.interval);
    const members = need(m.members);
    within(interval(us) && members >= 1);
  })],
  [28, (b) => {
    const m = read(pb.HelloSchema, b);
    need(m.flags);
    need(m.nonce);
    recordLengths(b, 3);
    record(need(m.record));
    return { kind: 0, number: 28, message: m };
  }],
  [29, (b) => {
    const m = read(pb.MembersSchema, b);
    need(m.flags);
    const nonces = need(m.nonces);
    recordLengths(b, 3);
    m.members.forEach(record);
    within(nonces.length % 8 === 0 && nonces.length <= 64 && m.members.length <= 64);
    return { kind: 0, number: 29, message: m };
  }],
  [30, judged(30, pb.ProbeSchema, (m) => {
    const to = need(m.to);
    const kind = need(m.kind);
    need(m.incarnation);
    need(m.nonce);
    within(to.length === 16 && kind >= 1);
  })],
  [31, judged(31, pb.WordSchema, (m) => {
    within(m.about.length >= 1 && m.about.length <= 64);
    for (const a of m.about) {
      const id = need(a.id);
      need(a.incarnation);
      need(a.age);
      within(need(a.kind) >= 1 && id.length === 16);
    }
  })],
]);
