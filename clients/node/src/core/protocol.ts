// Runs NACK and BestEffort for one member: a Sender for each stream that it opened, a Stream for each that it receives.
// Streams of FEC and Hybrid are received as those of BestEffort and NACK: their repair symbols are counted and not used.
import {
  type Control, type Datagram, type Frame, type Heartbeat, type Id, type Leave, type Nak, type Start, type Status, FrameKind, HEADER_LEN,
  nakRoom, protocolOf, streamOf, writeControl, type Header,
} from "../wire/index.js";
import {
  type CoreConfig, type CoreEvent, type Endpoint, type EventKind, type Sink, Counters, GROUP, windowDatagrams,
} from "./core.js";
import { Sender } from "./sender.js";
import { State, Stream } from "./stream.js";
import { Bucket, MS, NEVER } from "./timing.js";

/** What a control datagram becomes when it leaves; undefined: it is no longer needed. */
type Written = { to: Endpoint; stream: number; frame: Control; start?: Start | undefined } | undefined;
type Pending = (now: number) => Written;

const MAX_NAKS = 20000; // datagrams a second
const NAK_DEPTH = 64;
const LEAVE_COPIES = 3;
const MAX_FAREWELLS = 256;
const MAX_CONTROL = 65536;
const LATELY = 100 * MS;
const LATELY_MOST = 1024;
const MAX_REFUSED = 1024;
const WINDOWS = 4; // of reorder windows, what all streams together may hold

/** The names of frames, for what is counted. */
const frameNames: Record<number, string> = {
  18: "ring", 19: "token", 20: "join", 21: "commit", 22: "notice", 23: "pair", 24: "repair", 25: "symbol nak", 26: "pair ack", 27: "beat",
  28: "hello", 29: "members", 30: "probe", 31: "word",
};
/** The names of protocols, by their numbers. */
export const protocolNames = ["", "BESTEFFORT", "NACK", "FEC", "HYBRID", "TOTEM", "GROUPS", "CLUSTER"];

export class Protocol {
  readonly window: number;
  readonly counters = new Counters();
  readonly senders: Sender[] = [];
  readonly streams = new Set<Stream>();
  paused: Stream[] = [];
  ended = 0;
  held = 0;
  holders = 0;
  closed = false;
  /** Own messages go to the sink. */
  self = false;

  private readonly known = new Map<string, Stream>();
  private created = 0;
  private pending: Pending[] = [];
  private head = 0;
  private at = NEVER;
  private readonly naks = new Bucket(NAK_DEPTH);
  private readonly left_ = new Map<Id, number>();
  private readonly refused = new Set<string>();
  private turn = 0;
  private assembling = 0;

  constructor(readonly cfg: CoreConfig, readonly sink: Sink) {
    this.window = windowDatagrams(cfg.window, cfg.datagram);
  }

  header(stream: number): Header {
    return { cluster: this.cfg.cluster, transmitter: this.cfg.self, incarnation: this.cfg.incarnation, stream };
  }

  event(kind: EventKind, s: Stream): void {
    this.sink.event({ kind, from: s.from, at: s.endpoint, stream: s.id });
  }

  receiverEvent(kind: EventKind, from: Id, at: Endpoint, stream: number): void {
    this.sink.event({ kind, from, at, stream } satisfies CoreEvent);
  }

  /** Notes when this member came: streams that began later are received from their beginning. */
  startAt(now: number): void {
    if (this.created === 0) this.created = now;
  }

  /** Opens the stream of a protocol and a lane, or finds it open. */
  open(now: number, protocol: number, lane: number): Sender {
    this.startAt(now);
    const id = streamOf(protocol, lane);
    let s = this.senders.find((x) => x.id === id);
    if (!s) {
      s = new Sender(this, id, now);
      this.senders.push(s);
    }
    return s;
  }

  // Datagrams.

  /** Takes in one decoded datagram of length bytes that another member has sent. */
  step(now: number, d: Datagram, length: number, from: Endpoint, group: boolean): void {
    this.startAt(now);
    this.counters.datagramsReceived++;
    const q = protocolOf(d.stream);
    if (q < 1 || q > 4) {
      this.counters.drop(`protocol ${protocolNames[q] ?? q}`);
      return;
    }
    if (this.closed) return;
    if (d.frames.length > 1) {
      // A Start has the number at which the Data beside it begins, although it comes after it.
      for (const f of d.frames) if (f.kind === FrameKind.Start) this.stepStart(now, d, f, from);
    }
    for (const f of d.frames) {
      if (f.kind === FrameKind.Start && d.frames.length > 1) continue;
      const why = this.stepFrame(now, d, f, length, from, group);
      if (why !== undefined) this.counters.drop(why);
    }
  }

  private stepFrame(now: number, d: Datagram, f: Frame, length: number, from: Endpoint, group: boolean): string | undefined {
    switch (f.kind) {
      case FrameKind.Data: {
        const s = this.lookUp(now, d);
        if (typeof s === "string") return s;
        const t = s ?? this.join(now, d, from);
        if (!t) return "streams";
        if (!s) t.begin(now, f.number, f.firstMessage, false);
        return t.take(now, f, length, from, group);
      }
      case FrameKind.Nak: return this.stepNak(now, d, f, from, group);
      case FrameKind.Heartbeat: return this.stepHeartbeat(now, d, f, from, group);
      case FrameKind.Status: return this.stepStatus(now, d, f, from);
      case FrameKind.Start: return this.stepStart(now, d, f, from);
      case FrameKind.Leave: return this.stepLeave(now, d, f);
      case 0: {
        const name = frameNames[f.number] ?? String(f.number);
        this.counters.unsupported[name] = (this.counters.unsupported[name] ?? 0) + 1;
        return undefined;
      }
    }
  }

  /** The stream of a datagram's transmitter; undefined: it is not known yet; a string: why it is not taken. */
  private lookUp(now: number, d: Datagram): Stream | undefined | string {
    const s = this.known.get(d.transmitter + d.stream);
    if (!s) return undefined;
    if (d.incarnation < s.incarnation) return "incarnation";
    if (d.incarnation > s.incarnation) {
      this.supersede(now, s);
      return undefined;
    }
    return s.state === State.Left ? "stale" : s;
  }

  /** Ends a stream whose sender has begun anew. */
  private supersede(now: number, s: Stream): void {
    this.known.delete(s.key);
    if (s.state !== State.Left) s.finish(now, State.Left);
    if (s.due >= s.highest) s.bury(now, false);
  }

  private join(now: number, d: Datagram, from: Endpoint): Stream | undefined {
    if (this.streams.size >= this.cfg.maxStreams && !this.evictStream()) {
      this.refuse(d, from);
      return undefined;
    }
    const s = new Stream(this, d.transmitter, d.incarnation, d.stream, from, now);
    this.refused.delete(s.key);
    this.known.set(s.key, s);
    this.streams.add(s);
    this.event("StreamStarted", s);
    return s;
  }

  /** A stream for which there is no room is reported once. */
  private refuse(d: Datagram, from: Endpoint): void {
    const key = d.transmitter + d.stream;
    if (this.refused.has(key) || this.refused.size >= MAX_REFUSED) return;
    this.refused.add(key);
    this.sink.event({ kind: "StreamRefused", from: d.transmitter, at: from, stream: d.stream });
    this.sink.lost({ from: d.transmitter, stream: d.stream, first: 0n, last: 0n, reason: "LossRefused" });
  }

  private evictStream(): boolean {
    let oldest: Stream | undefined;
    for (const s of this.streams) if (!s.open && !s.paused && (!oldest || s.heard < oldest.heard)) oldest = s;
    if (!oldest) return false;
    if (oldest.state === State.Dormant) this.event("StreamLeft", oldest);
    this.remove(oldest);
    return true;
  }

  /** Takes a stream that has ended out of every table. */
  remove(s: Stream): void {
    if (this.known.get(s.key) === s) this.known.delete(s.key);
    if (!this.streams.delete(s)) return;
    s.forget();
    this.ended--;
  }

  private stepStart(now: number, d: Datagram, st: Start, from: Endpoint): string | undefined {
    const s = this.lookUp(now, d);
    if (typeof s === "string") return s;
    const differs = st.lanes !== this.cfg.lanes;
    if (s) {
      s.start(now, from, differs);
      return undefined;
    }
    // Who came later than the stream began waits for data or a heartbeat.
    if (BigInt(Math.floor(now - this.created)) < st.age) return undefined;
    const t = this.join(now, d, from);
    if (!t) return "streams";
    t.compare(differs);
    t.begin(now, st.first, st.firstMessage, true);
    return undefined;
  }

  private stepHeartbeat(now: number, d: Datagram, h: Heartbeat, from: Endpoint, group: boolean): string | undefined {
    const s = this.lookUp(now, d);
    if (typeof s === "string") return s;
    if (s) return s.heartbeat(now, h, from, group);
    const t = this.join(now, d, from);
    if (!t) return "streams";
    t.noteGroup(h);
    t.begin(now, h.last + 1n, h.nextMessage, false);
    return t.heartbeat(now, h, from, group);
  }

  private asked(d: Datagram, incarnation: number): Sender | string {
    if (incarnation !== this.cfg.incarnation) return "incarnation";
    return this.senders.find((s) => s.id === d.stream) ?? "not sent";
  }

  private stepNak(now: number, d: Datagram, n: Nak, from: Endpoint, group: boolean): string | undefined {
    if (n.origin === this.cfg.self) {
      const s = this.asked(d, n.originIncarnation);
      return typeof s === "string" ? s : s.nak(now, d.transmitter, n, from, group);
    }
    const s = this.known.get(n.origin + d.stream);
    if (s && s.incarnation === n.originIncarnation) s.overhear(now, n);
    return undefined;
  }

  private stepStatus(now: number, d: Datagram, st: Status, from: Endpoint): string | undefined {
    if (st.origin !== this.cfg.self) return undefined;
    const s = this.asked(d, st.originIncarnation);
    return typeof s === "string" ? s : s.status(now, d.transmitter, st, from);
  }

  private stepLeave(now: number, d: Datagram, l: Leave): string | undefined {
    for (const s of this.senders) {
      if (s.farewell(d.transmitter)) {
        if (this.left_.size >= LATELY_MOST) this.left_.delete(this.left_.keys().next().value!);
        this.left_.set(d.transmitter, now);
      }
    }
    if (l.last === undefined) return undefined;
    const s = this.known.get(d.transmitter + d.stream);
    if (!s) return undefined;
    if (d.incarnation !== s.incarnation) return "incarnation";
    s.leave(now, l);
    return undefined;
  }

  /** A receiver's farewell has come lately: a report of it that comes now is late. */
  lately(now: number, member: Id): boolean {
    const at = this.left_.get(member);
    return at !== undefined && now - at < LATELY;
  }

  // Deadlines.

  arm(at: number): void {
    if (at < this.at) this.at = at;
  }

  /** When tick is next needed; NEVER: nothing is pending. */
  deadline(): number {
    return this.at;
  }

  /** Fires every deadline at or before now. Calling it early is harmless. */
  tick(now: number): void {
    this.startAt(now);
    if (now < this.at) return;
    this.at = NEVER;
    if (!this.closed) {
      for (const s of this.senders) {
        if (s.at <= now) s.tick(now);
        this.arm(s.at);
      }
    }
    for (const s of this.streams) {
      if (s.at <= now) s.tick(now);
      if (!s.removed) this.arm(s.at);
    }
  }

  // Sending.

  /** A NAK datagram may leave: 0, or when one may. */
  takeNak(now: number): number {
    return this.naks.take(now, MAX_NAKS, NAK_DEPTH);
  }

  /** Gaps that one NAK takes. */
  get nakRoom(): number {
    return nakRoom(this.cfg.datagram - HEADER_LEN);
  }

  /** Puts a control datagram in line. It is written when it leaves, so that its content is fresh. */
  queue(make: Pending): void {
    if (this.pending.length - this.head >= MAX_CONTROL) {
      this.counters.drop("control");
      return;
    }
    this.pending.push(make);
  }

  /** Lets what is being packed leave: the application has nothing more to say at this moment. */
  flush(now: number): void {
    for (const s of this.senders) s.flush(now);
  }

  /** The next datagram to send; undefined: there is nothing that may be sent now. */
  pollSend(now: number): { bytes: Buffer; to: Endpoint } | undefined {
    while (this.head < this.pending.length) {
      const make = this.pending[this.head++]!;
      if (this.head === this.pending.length) {
        this.pending = [];
        this.head = 0;
      }
      const w = make(now);
      if (w) return { to: w.to, bytes: writeControl(this.header(w.stream), w.start ? [w.frame, w.start] : [w.frame]) };
    }
    for (let i = 0; i < this.senders.length; i++) {
      this.turn = (this.turn + 1) % this.senders.length;
      const r = this.senders[this.turn]!.poll(now);
      if (r) return r;
    }
    return undefined;
  }

  // Delivery.

  /** Offers again what the sink refused, and delivers own messages. */
  deliver(now: number): void {
    if (this.paused.length > 0) {
      // A stream that is refused again puts itself into the new list. Another one begins each time.
      const again = this.paused;
      this.paused = [];
      for (let i = 0; i < again.length; i++) {
        const s = again[(i + 1) % again.length]!;
        s.paused = false;
        s.drain(now);
        if (!s.paused) s.resumed(now);
      }
    }
    for (const s of this.senders) s.deliverSelf();
  }

  /** How many more datagrams may be held for reordering, of all streams. */
  left(): number {
    return WINDOWS * this.window - this.held;
  }

  /** Charges a stream with a message that it puts together. False: there is no memory for it now. */
  beginAssembly(now: number, s: Stream, size: number): boolean {
    const limit = WINDOWS * this.cfg.maxMessageSize;
    if (this.assembling + size > limit) {
      for (const x of this.streams) {
        if (x !== s && x.yields(now)) x.giveUpAssembly();
        if (this.assembling + size <= limit) break;
      }
    }
    if (this.assembling + size > limit) return false;
    this.assembling += size;
    return true;
  }

  endAssembly(s: Stream): void {
    this.assembling -= s.size;
  }

  // The end.

  /** Nothing is waiting to leave, flow control aside. */
  quiet(): boolean {
    return this.head >= this.pending.length && this.senders.every((s) => !s.unsent());
  }

  /** Takes leave, so that others drop this member at once. What has not been sent is not sent any more. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.pending = [];
    this.head = 0;
    const farewells = new Set<number>();
    for (const s of this.streams) {
      if (s.open && farewells.size < MAX_FAREWELLS && !this.senders.some((x) => x.id === s.id)) farewells.add(s.id);
    }
    if (this.senders.length === 0) farewells.add(streamOf(2, 0));
    for (let i = 0; i < LEAVE_COPIES; i++) {
      for (const s of this.senders) this.queue(() => ({ to: GROUP, stream: s.id, frame: s.leaveFrame() }));
      for (const id of farewells) this.queue(() => ({ to: GROUP, stream: id, frame: { kind: FrameKind.Leave } }));
    }
  }
}
