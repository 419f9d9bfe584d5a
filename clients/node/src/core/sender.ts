// The sending half of one stream: it packs messages into datagrams, keeps these for repair, and decides when which may
// leave. Datagrams are numbered from 1, and at any time first <= sent <= next: [first, sent) has been sent and is held for
// repair, [sent, next) waits to be sent, and next is the datagram that is being packed, or will be.
import {
  type Header, type Heartbeat, type Id, type Leave, type Nak, type Start, type Status, type StartFields, DataWriter, FrameKind,
  START_LEN, fragmentRoom, messageRoom, protocolOf, withStart,
} from "../wire/index.js";
import {
  type Endpoint, ASK_ALL, BEAT_MAX, BEAT_REST, DEFAULT_ROOM, GROUP, LONGEST_PAUSE, PAUSE_HALVES, cost,
} from "./core.js";
import { Arrivals, Pace, ROUND_MIN, UNBOUND_FOR } from "./pace.js";
import type { Protocol } from "./protocol.js";
import { Bucket, FEW_RECEIVERS, Meter, MS, NEVER, RoundTrip, RTT_INITIAL, RTT_MAX, RTT_MIN, SECOND, Timed, US } from "./timing.js";

/** A topic, and its bytes in UTF-8. */
export interface Topic {
  name: string;
  bytes: Uint8Array;
}

/** One datagram of the retransmit window. */
interface Slot {
  bytes: Buffer;
  message: number;
  cost: number; // of this datagram and all before it
  start: boolean;
  repaired: number;
  last: Want;
  want: Want;
  asker: Endpoint;
  back: boolean; // it was sent again, and a receiver has it
}

const enum Want {
  Not,
  Unicast,
  Multicast,
}

interface Receiver {
  member: Id;
  endpoint: Endpoint;
  newcomer: boolean;
  asks: number;
  due: number;
  next: number;
  highest: number;
  limit: number;
  room: number;
  heard: number;
  pause: number;
  echo: bigint;
  rtt: RoundTrip;
  arrivals: Arrivals;
}

/** An own message, on its way to the sink. */
interface Own {
  topic: string;
  kind: number;
  payload: Uint8Array;
  sequence: number;
  datagram: number;
}

/** A message in fragments whose last one has not been packed. */
interface Large {
  topic: Topic;
  kind: number;
  payload: Uint8Array;
  at: number;
  message: number;
}

const enum Timer {
  Start,
  Heartbeat,
  Receivers,
  Repairs,
  Pace,
  Newcomers,
  Count,
}

const START_FOR = 20 * MS;
const START_DATAGRAMS = 16;
const START_EVERY = 2 * MS;
const START_COPIES = 5;
const BEAT_MIN = 50 * US;
const BEAT_GROWTH = 3;
const BEAT_SLOW = 100 * MS;
const REST_AFTER = 60 * SECOND;
const BEAT_BLOCKED = 20 * MS;
const BEAT_UNASKED = 5 * MS;
const BEATS_SOON = 3;
const SOON = 1 * MS;
const BEAT_RATE = 90;
const BEAT_SHARE = 0.09;
const BEAT_DEPTH = 10;
const BEAT_SPARE = 3;
const ANSWER_AFTER = 100 * MS;
const SHORT_PAUSE = 5 * SECOND + 1 * MS;
const MIN_IN_FLIGHT = 4;
const MIN_ROOM = 4 << 10;
const MIN_WINDOW = 16;
const EVICTION_LOOKS = 16;
const MAX_PROBES = 8;
const MAX_AHEAD = 128;
const MAX_RECEIVERS = 1024;
const MAX_NEWCOMERS = 64;
const BEATS_REMEMBERED = 512;
const ECHO_AGE = 2 * SECOND + RTT_MAX;
const ANSWER_TRIPS = 2;
const ANSWER_MIN = 2 * MS;
const NEWCOMER_ASKS = 4;
const NEWCOMER_GROUP = 2;
const NEWCOMERS_RATE = 10;
const NEWCOMERS_DEPTH = 16;
const CROWD_EVERY = 100 * MS;
const REPAIR_SHARE = 1.5;
const REPAIR_BASE = 128 << 10;
const REPAID_AFTER = 100 * MS;
const STATUS_EVERY = 100 * MS;
const USUAL_EVERY = 10 * MS;

export class Sender extends Timed {
  first = 1;
  sent = 1;
  next = 1;
  readonly nack: boolean;
  readonly receivers: Receiver[] = [];
  messages = 0;

  private readonly header: Header;
  private readonly opened: number;
  private readonly slots: (Slot | undefined)[];
  private readonly mask: number;
  private readonly window: number;
  private readonly aheadMost: number;
  private message = 1; // number of the next message
  private total = 0; // cost of all datagrams up to next
  private writer: DataWriter | undefined; // fills datagram next
  private packedStart = false;
  private packedMessage = 0;
  private flushing = false;
  private large: Large | undefined;
  private readonly own: Own[] = [];

  // Repairs.
  private repairs: number[] = [];
  private repairTurn = false;
  private readonly fresh = new Meter();
  private debt = 0;
  private debtAt = 0;
  private highestRepaired = 0;

  // Flow control.
  private readonly waits: boolean;
  private young: boolean;
  private stale = true;
  private blocked = false;
  private woke = 0;
  private minNext = NEVER;
  private minLimit = NEVER;
  private minHighest = NEVER;
  private minRoom = NEVER;
  private measured = 0;
  private usual = 0; // the round trip that half of the receivers keep; 0: not known
  private usualAt = 0;
  private usualOf = 0;
  private joinedCount = 0;
  private leastPause = LONGEST_PAUSE;
  private readonly index = new Map<Id, Receiver>();
  private readonly pacing = new Pace();
  private boundBy: Receiver | undefined; // the receiver that binds the pace

  // Newcomers.
  private greetOwed = false;
  private greetedAt = 0;
  private readonly greets = new Bucket(NEWCOMERS_DEPTH);
  private readonly keeps = new Bucket(4);
  private kept = NEVER;
  private keptUntil = 0;
  private readonly beats: number[] = []; // sentAt of the last heartbeats

  // Heartbeats and Starts.
  private wait = BEAT_MIN;
  private last: number;
  private pace = 0;
  private since = 0;
  private beatQueued = false;
  private beatAsks = false;
  private readonly data: Meter;
  private readonly budget = new Bucket(BEAT_DEPTH);
  private startWait = START_EVERY;
  private starts = 0;

  constructor(private readonly p: Protocol, readonly id: number, now: number) {
    super(Timer.Count, p);
    const protocol = protocolOf(id);
    this.nack = protocol === 2;
    this.header = p.header(id);
    this.opened = now;
    this.window = p.window;
    let n = 1;
    while (n <= this.window) n *= 2;
    this.slots = new Array<Slot | undefined>(n).fill(undefined);
    this.mask = n - 1;
    this.aheadMost = Math.min(this.window >> 1, MAX_AHEAD);
    this.waits = this.nack && !p.cfg.fastest;
    this.young = this.waits;
    this.data = new Meter(now);
    this.last = now;
    this.arm(Timer.Receivers, now + START_FOR);
    this.arm(Timer.Heartbeat, now + START_FOR);
    this.sendStart(now);
  }

  // Deadlines.

  protected override expire(now: number, t: Timer, at: number): void {
    switch (t) {
      case Timer.Start: this.sendStart(now); break;
      case Timer.Heartbeat: this.beat(now); break;
      case Timer.Receivers: this.look(now, now - at); break;
      case Timer.Repairs:
      case Timer.Pace: break; // whatever waits is polled now
      case Timer.Newcomers: this.meet(now); break;
    }
  }

  // Packing.

  /** The longest payload that one datagram takes. */
  private room(topic: Topic): number {
    return messageRoom(this.p.cfg.datagram - START_LEN, topic.bytes.length);
  }

  /** Accepts one message, which is copied. False is back-pressure: nothing has changed. */
  offer(now: number, topic: Topic, kind: number, payload: Uint8Array): boolean {
    if (this.large) {
      this.feed(now);
      if (this.large as Large | undefined) return this.full();
    }
    if (this.writer?.add(topic.bytes, topic.name, kind, payload)) return this.accepted(topic, kind, payload, this.next);
    if (payload.length > this.room(topic)) return this.offerLarge(now, topic, kind, payload);
    if (this.writer) this.close();
    if (!this.beginDatagram(now)) return this.full();
    this.writer!.add(topic.bytes, topic.name, kind, payload);
    return this.accepted(topic, kind, payload, this.next);
  }

  private full(): false {
    this.p.counters.backPressure++;
    return false;
  }

  private accepted(topic: Topic, kind: number, payload: Uint8Array, datagram: number): true {
    if (this.p.self) {
      this.own.push({ topic: topic.name, kind, payload: Uint8Array.from(payload), sequence: this.message, datagram });
    }
    this.message++;
    this.messages++;
    this.p.counters.messages++;
    return true;
  }

  private beginDatagram(now: number, message = this.message): boolean {
    if (this.next - this.sent > this.aheadMost && !this.large) return false;
    if (!this.reuse(1)) {
      this.crammed(now);
      return false;
    }
    this.writer = new DataWriter(this.p.cfg.datagram, this.header, this.next, message);
    this.packedMessage = message;
    this.packedStart = this.beginning(now) && this.writer.reserveStart();
    this.packedAt = now;
    return true;
  }

  private packedAt = 0;

  /** Ends the datagram that is being packed. */
  private close(): void {
    const w = this.writer!;
    this.writer = undefined;
    this.flushing = false;
    if (w.count === 0) return;
    const bytes = w.finish(this.packedStart ? this.startFields(this.packedAt) : undefined);
    this.total += cost(bytes.length);
    this.slots[this.next & this.mask] = {
      bytes, message: this.packedMessage, cost: this.total, start: this.packedStart, repaired: 0, last: Want.Not, want: Want.Not,
      asker: GROUP, back: false,
    };
    this.next++;
  }

  /** Lets what is being packed leave. While other datagrams wait it stays open: more may fit. */
  flush(now: number): void {
    if (this.large) this.feed(now);
    if (!this.writer || this.writer.count === 0) return;
    if (this.sent === this.next) this.close();
    else this.flushing = true;
  }

  private offerLarge(now: number, topic: Topic, kind: number, payload: Uint8Array): boolean {
    if (this.writer) this.close();
    if (this.next - this.sent > this.aheadMost || this.next - this.first >= this.window) {
      if (!this.reuse(1)) {
        this.crammed(now);
        return this.full();
      }
      if (this.next - this.sent > this.aheadMost) return this.full();
    }
    const room = fragmentRoom(this.p.cfg.datagram - START_LEN, topic.bytes.length);
    const parts = Math.ceil(payload.length / room);
    this.p.counters.fragmented++;
    this.accepted(topic, kind, payload, this.next + parts - 1);
    this.large = { topic, kind, payload: Uint8Array.from(payload), at: 0, message: this.message - 1 };
    this.feed(now);
    return true;
  }

  /** Packs as many fragments as the window takes. */
  private feed(now: number): void {
    const l = this.large!;
    const room = fragmentRoom(this.p.cfg.datagram - START_LEN, l.topic.bytes.length);
    while (l.at < l.payload.length && this.next - this.sent <= this.aheadMost) {
      if (!this.beginDatagram(now, l.message)) return;
      const part = l.payload.subarray(l.at, l.at + room);
      this.writer!.addFragment(l.topic.bytes, l.topic.name, l.kind, l.at, l.payload.length, part);
      l.at += part.length;
      this.close();
    }
    if (l.at >= l.payload.length) this.large = undefined;
  }

  /** Makes room in the window for n datagrams at next; it gives up the oldest ones if they may be given up. */
  private reuse(n: number): boolean {
    while (this.next + n - this.first > this.window) {
      if (this.first >= this.disposable()) return false;
      this.slots[this.first & this.mask] = undefined;
      this.first++;
    }
    return true;
  }

  private disposable(): number {
    return Math.min(this.sent, this.keep(), this.own[0]?.datagram ?? NEVER);
  }

  private crammed(now: number): void {
    if (this.sent === this.next && this.unreported()) this.block(now);
  }

  /** The window is full of what receivers have not reported. */
  private unreported(): boolean {
    return this.next - this.first >= this.window && this.first >= this.keep();
  }

  /** The number of the first message of datagram n, which is held, being packed, or the one after these. */
  private messageAt(n: number): number {
    const t = n < this.next ? this.slots[n & this.mask] : undefined;
    if (t) return t.message;
    if (this.writer && n === this.next) return this.packedMessage;
    return this.large ? this.large.message : this.message;
  }

  private costBelow(n: number): number {
    if (n > this.first) return this.slots[(n - 1) & this.mask]!.cost;
    const t = this.slots[this.first & this.mask]!;
    return t.cost - cost(t.bytes.length);
  }

  /** Something was accepted and has not left. */
  unsent(): boolean {
    return this.sent < this.next || (this.writer?.count ?? 0) > 0 || this.large !== undefined;
  }

  /** Messages that were accepted and have not left, in whole or in part. */
  unsentMessages(): number {
    return this.message - this.messageAt(this.sent);
  }

  /** All that was accepted has been sent, and every known receiver has reported that it has it. */
  acknowledged(): boolean {
    if (this.unsent()) return false;
    return !this.nack || this.receivers.every((r) => r.newcomer || r.next >= this.sent);
  }

  get joined(): number {
    let n = 0;
    for (const r of this.receivers) if (!r.newcomer) n++;
    return n;
  }

  // Sending.

  /** The next repair or datagram that may leave. Repairs take turns with data: they never starve it. */
  poll(now: number): { bytes: Buffer; to: Endpoint } | undefined {
    if (this.p.closed) return undefined;
    if (this.sent === this.next) {
      if (this.large) this.feed(now);
      else if (this.flushing && this.writer) this.close();
    }
    let data = this.sent < this.next;
    if (data && !this.allows(this.sent)) {
      data = false;
      this.block(now);
    }
    if ((data || this.repairs.length > 0) && !this.pacing.ready(now)) {
      this.hold(now);
      return undefined;
    }
    if (this.repairs.length > 0 && (!data || this.repairTurn)) {
      const r = this.pollRepair(now);
      if (r) return r;
    }
    if (!data) return undefined;
    const t = this.slots[this.sent & this.mask]!;
    this.sent++;
    this.blocked = false;
    this.repairTurn = true;
    this.p.counters.datagrams++;
    this.noteSent(now);
    this.fresh.add(now, t.bytes.length);
    this.pacing.sent += t.bytes.length;
    this.pacing.spend(now, t.bytes.length);
    return { bytes: t.bytes, to: GROUP };
  }

  /** The pace holds back what could leave. */
  private hold(now: number): void {
    const p = this.pacing;
    p.holds++;
    if (this.boundBy && now - p.asked >= ROUND_MIN / 2) {
      p.asked = now;
      this.probe(now, this.boundBy.endpoint);
    }
    if (p.next < this.timers[Timer.Pace]!) this.arm(Timer.Pace, Math.max(p.next, now + 1));
  }

  /** The least that receivers allow is the pace. */
  private setPace(now: number): void {
    const before = this.pacing.rate;
    this.pacing.rate = 0;
    this.boundBy = undefined;
    for (const r of this.receivers) {
      const v = r.newcomer ? 0 : r.arrivals.allows();
      if (v > 0 && (this.pacing.rate === 0 || v < this.pacing.rate)) {
        this.pacing.rate = v;
        this.boundBy = r;
      }
    }
    if (before === 0) this.pacing.next = now;
  }

  /** Hands own messages that have left to the sink. */
  deliverSelf(): void {
    let n = 0;
    for (; n < this.own.length && this.own[n]!.datagram < this.sent; n++) {
      const m = this.own[n]!;
      const ok = this.p.sink.deliver({
        from: this.p.cfg.self, stream: this.id, sequence: BigInt(m.sequence), kind: m.kind, topic: m.topic, payload: m.payload,
      });
      if (!ok) break;
      this.p.counters.delivered++;
    }
    if (n > 0) this.own.splice(0, n);
  }

  // Flow control: a datagram may leave when every receiver has room for it in its window, and what is on its way to the one
  // that reported least fits the smallest socket buffer.

  private update(): void {
    this.stale = false;
    this.minNext = this.minLimit = this.minHighest = this.minRoom = NEVER;
    this.measured = 0;
    this.joinedCount = 0;
    this.leastPause = LONGEST_PAUSE;
    for (const r of this.receivers) {
      if (r.newcomer) continue;
      this.joinedCount++;
      this.leastPause = Math.min(this.leastPause, r.pause);
      this.minNext = Math.min(this.minNext, r.next);
      this.minLimit = Math.min(this.minLimit, r.limit);
      this.minHighest = Math.min(this.minHighest, r.highest);
      this.minRoom = Math.min(this.minRoom, r.room);
      this.measured = Math.max(this.measured, r.rtt.smooth);
    }
  }

  private roundTrip(): number {
    if (this.stale) this.update();
    return this.measured === 0 ? RTT_INITIAL : Math.max(this.measured, RTT_MIN);
  }

  /** The lowest datagram that receivers may still need. */
  private keep(): number {
    if (!this.waits) return NEVER;
    if (this.stale) this.update();
    if (this.joinedCount > 0) return Math.min(this.minNext, this.kept);
    return this.young ? 1 : this.kept;
  }

  private allows(n: number): boolean {
    if (!this.waits || this.receivers.length === 0) return true;
    if (this.stale) this.update();
    if (this.joinedCount === 0) return true;
    if (n >= this.minLimit) return false;
    return n < this.minHighest + MIN_IN_FLIGHT || this.slots[n & this.mask]!.cost - this.costBelow(this.minHighest) <= this.minRoom;
  }

  private block(now: number): void {
    if (this.blocked) return;
    this.blocked = true;
    this.p.counters.blocked++;
    const at = now + this.quick();
    if (at < this.timers[Timer.Heartbeat]!) {
      this.wait = this.quick();
      this.arm(Timer.Heartbeat, at);
    }
  }

  private held(): boolean {
    return (this.sent < this.next && !this.allows(this.sent)) || this.unreported();
  }

  /** The receiver that the stream waits for, for a message about it. */
  limiting(): { member: Id; endpoint: Endpoint; behind: number } | undefined {
    if (!this.waits || !this.held()) return undefined;
    let r: Receiver | undefined;
    for (const x of this.receivers) if (!x.newcomer && (!r || x.next < r.next || (x.next === r.next && x.limit < r.limit))) r = x;
    return r && { member: r.member, endpoint: r.endpoint, behind: Math.max(this.sent - r.next, 0) };
  }

  /** Looks for silent receivers, late after it was due: one that is silent is asked, and goes. */
  private look(now: number, late: number): void {
    this.young = false;
    const every = this.p.cfg.eviction / EVICTION_LOOKS;
    if (late > every) { // this member did not run, so it received nothing
      for (const r of this.receivers) r.heard += late;
      this.woke += late;
    }
    let probes = 0;
    for (const r of [...this.receivers]) {
      const eviction = this.p.cfg.eviction;
      let silent = now - r.heard;
      let longest = eviction;
      if (r.newcomer) {
        if (silent >= eviction) this.dropReceiver(r, "ReceiverEvicted");
        continue;
      }
      if (r.pause !== 0) {
        if (r.next >= this.sent) longest = Math.max(longest, (r.pause * PAUSE_HALVES) / 2);
        else silent = Math.min(silent, now - this.woke);
      }
      if (silent >= longest) {
        this.p.counters.evictions++;
        this.dropReceiver(r, "ReceiverEvicted");
      } else if (silent >= longest - (longest > eviction ? eviction : eviction / 2) && probes < MAX_PROBES) {
        probes++;
        this.probe(now, r.endpoint);
      }
      if (!r.arrivals.open && now - r.arrivals.bound >= 2 * UNBOUND_FOR) r.arrivals.free();
    }
    this.setPace(now);
    if (this.blocked && !this.held()) this.blocked = false;
    this.arm(Timer.Receivers, now + every);
  }

  dropReceiver(r: Receiver, why: "ReceiverLeft" | "ReceiverEvicted"): void {
    if (this.index.get(r.member) !== r) return;
    this.index.delete(r.member);
    this.receivers.splice(this.receivers.indexOf(r), 1);
    this.stale = true;
    if (this.boundBy === r) this.setPace(this.last);
    if (!r.newcomer) this.p.receiverEvent(why, r.member, r.endpoint, this.id);
  }

  /** A member's farewell has come. It reports whether it was a receiver. */
  farewell(member: Id): boolean {
    const r = this.index.get(member);
    if (r) this.dropReceiver(r, "ReceiverLeft");
    return r !== undefined;
  }

  // Reports.

  /** Takes in a receiver's report. It returns why not, where it does not. */
  status(now: number, member: Id, st: Status, from: Endpoint): string | undefined {
    if (st.next > BigInt(this.sent)) return "implausible";
    const next = Number(st.next);
    let r = this.index.get(member);
    const echoed = (!r || r.newcomer) && this.echoed(now, st.echo);
    r ??= this.admit(now, member, from, echoed);
    if (!r) {
      if (!this.p.lately(now, member) && !echoed) this.newcomer(now, undefined, next);
      return "receivers";
    }
    this.p.counters.statusesReceived++;
    r.heard = now;
    r.endpoint = from;
    if (r.newcomer) {
      if (!echoed) {
        this.newcomer(now, r, next);
        return undefined;
      }
      r.newcomer = false;
      this.p.receiverEvent("ReceiverJoined", member, from, this.id);
      if (this.wait > BEAT_MAX) { // a receiver may count on heartbeats
        this.wait = BEAT_MAX;
        this.arm(Timer.Heartbeat, Math.min(this.timers[Timer.Heartbeat]!, now + BEAT_MAX));
      }
    }
    const rested = r.pause !== 0;
    r.pause = Math.min((st.pause ?? 0) * US, LONGEST_PAUSE);
    if (next > r.next) {
      this.back(now, r.next, next);
      r.next = next;
    }
    const highest = st.highest > BigInt(this.sent) ? this.sent : Number(st.highest);
    r.highest = Math.max(r.highest, highest);
    r.limit = Math.max(r.limit, st.limit > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(st.limit));
    r.room = Math.max(st.room === 0 ? DEFAULT_ROOM : st.room, MIN_ROOM);
    const echo = Number(st.echo);
    if (st.echo !== 0n && st.echo !== r.echo && echo <= now) {
      // The echo is our own clock, so a lie can only make the round trip long.
      r.echo = st.echo;
      if (st.held <= now - echo) r.rtt.sample(Math.min(now - echo - st.held, RTT_MAX));
    }
    if (st.echo === 0n && now - this.last >= ANSWER_AFTER) this.probe(now, from); // it has heard nothing for a while
    if (this.waits && !this.p.cfg.freePace) {
      const n = Math.max(r.highest, this.first);
      const data = (n === this.next ? this.total : this.costBelow(n)) - (n - 1) * cost(0);
      const sent = { data, trip: r.rtt.smooth, ours: this.sent + this.p.counters.repairs, theirs: this.p.counters.dataReceived };
      if (r.arrivals.report(now, st, this.pacing, sent, rested)) this.probe(now, from);
      this.setPace(now);
    }
    this.stale = true;
    if (this.blocked && !this.held()) this.blocked = false;
    return undefined;
  }

  private admit(now: number, member: Id, from: Endpoint, echoed: boolean): Receiver | undefined {
    if (this.p.lately(now, member)) return undefined;
    const listed = this.receivers.length - this.joined;
    if (this.receivers.length >= MAX_RECEIVERS || (!echoed && listed >= MAX_NEWCOMERS)) return undefined;
    const r: Receiver = {
      member, endpoint: from, newcomer: true, asks: 0, due: 0, heard: now, room: DEFAULT_ROOM, pause: 0, echo: 0n, rtt: new RoundTrip(), arrivals: new Arrivals(),
      // Nothing below first can be asked for any more, so nothing waits for it.
      next: this.first, highest: this.first, limit: this.first,
    };
    this.receivers.push(r);
    this.index.set(member, r);
    return r;
  }

  // Newcomers: a receiver counts from a report on that echoes a heartbeat that this stream has sent lately. Anybody can
  // write a report with a made-up sender, and who does not receive the stream cannot guess that number.

  private echoed(now: number, echo: bigint): boolean {
    const e = Number(echo);
    return e !== 0 && e <= now && now - e <= ECHO_AGE && this.beats.includes(e);
  }

  private newcomer(now: number, r: Receiver | undefined, next: number): void {
    let at = now;
    if (!r) {
      this.greetOwed = true;
    } else {
      r.next = Math.max(r.next, next);
      if (r.asks === NEWCOMER_ASKS) r.asks--; // it is still there
      at = Math.max(at, r.due);
    }
    if (at < this.timers[Timer.Newcomers]!) this.arm(Timer.Newcomers, at);
  }

  /** Sends the heartbeats that newcomers wait for. */
  private meet(now: number): void {
    if (now >= this.keptUntil) {
      this.kept = NEVER;
      if (this.blocked && !this.held()) this.blocked = false;
    }
    const due = this.receivers.filter((r) => r.newcomer && r.asks < NEWCOMER_ASKS && r.due <= now);
    for (const r of due) this.greet(now, r, due.length);
    let next = NEVER;
    for (const r of this.receivers) if (r.newcomer && r.asks < NEWCOMER_ASKS) next = Math.min(next, r.due);
    if (this.greetOwed) next = Math.min(next, this.greetAll(now));
    if (this.kept !== NEVER) next = Math.min(next, this.keptUntil);
    if (next !== NEVER) this.arm(Timer.Newcomers, Math.max(next, now + 1));
  }

  private greet(now: number, r: Receiver, due: number): void {
    let direct = due <= ASK_ALL && this.joined > 0 && r.asks < NEWCOMER_GROUP;
    if (direct) direct = this.greets.take(now, NEWCOMERS_RATE, NEWCOMERS_DEPTH) === 0;
    if (!direct) {
      this.greetOwed = true;
    } else {
      const at = this.probe(now, r.endpoint);
      if (at !== 0) {
        r.due = Math.max(at, now + 1);
        return;
      }
    }
    const within = Math.max(ANSWER_TRIPS * this.roundTrip(), ANSWER_MIN) * 2 ** r.asks;
    if (r.asks < NEWCOMER_GROUP && this.keeps.take(now, 1, 4) === 0) {
      // A forged report slows the stream at most to half of the window in this time.
      this.kept = Math.min(this.kept, Math.max(r.next, this.sent - Math.min(this.sent, this.window >> 1)));
      this.keptUntil = Math.max(this.keptUntil, now + within);
    }
    r.asks++;
    r.due = now + within;
  }

  private greetAll(now: number): number {
    const every = this.joined > 0 ? CROWD_EVERY : ANSWER_MIN;
    const at = this.greetedAt + every;
    if (this.greetedAt !== 0 && at > now) return at;
    const wait = this.queueBeat(now, this.joined === 0);
    if (wait !== 0) return wait;
    this.greetedAt = now;
    this.greetOwed = false;
    return NEVER;
  }

  // Repairs.

  /** Queues what a receiver asks for. It returns why not, where nothing of it was ever sent. */
  nak(now: number, member: Id, n: Nak, from: Endpoint, group: boolean): string | undefined {
    if (!this.nack) return "protocol";
    let left = this.window; // the work for one datagram is bounded, however its gaps overlap
    let sent = false;
    let gone = false;
    for (const [list, again] of [[n.gaps, false], [n.again, true]] as const) {
      for (const g of list) {
        if (g.first >= BigInt(this.sent)) continue;
        sent = true;
        const first = Number(g.first);
        gone ||= first < this.first;
        const end = Math.min(first + g.count, this.sent);
        for (let i = Math.max(first, this.first); i < end && left > 0; i++, left--) this.ask(now, i, again && !group, from);
      }
    }
    if (!sent) return "not sent";
    this.p.counters.naksReceived++;
    const r = this.index.get(member) ?? this.admit(now, member, from, false);
    if (r) {
      r.heard = now;
      r.endpoint = from;
      if (r.limit <= this.first) {
        // Not reported yet: that it asks shows that it is about here.
        r.next = this.first;
        r.highest = this.sent;
        r.limit = this.sent + MIN_WINDOW;
        this.stale = true;
      }
    }
    if (gone) this.probe(now, from);
    return undefined;
  }

  /** Queues one datagram. The first answer goes to all; who asks again gets a repair of its own, unless another does too. */
  private ask(now: number, n: number, again: boolean, asker: Endpoint): void {
    const t = this.slots[n & this.mask]!;
    let hold = this.roundTrip();
    let w = Want.Multicast;
    if (again) {
      hold /= 2;
      w = Want.Unicast;
    }
    if (t.want !== Want.Not) {
      if (t.want === Want.Unicast && (w === Want.Multicast || t.asker !== asker)) t.want = Want.Multicast;
      return;
    }
    if (t.repaired !== 0 && now - t.repaired < hold) {
      if (t.last === Want.Multicast || t.asker === asker) {
        this.p.counters.naksHeldOff++; // it is on its way
        return;
      }
      w = Want.Multicast;
    }
    t.want = w;
    t.asker = asker;
    this.repairs.push(n);
  }

  private pollRepair(now: number): { bytes: Buffer; to: Endpoint } | undefined {
    const rate = REPAIR_SHARE * this.fresh.rising(now) + REPAIR_BASE;
    this.debt = Math.max(this.debt - (rate * (now - this.debtAt)) / SECOND, 0);
    this.debtAt = now;
    if (this.debt >= REPAIR_BASE) {
      const at = now + ((this.debt - REPAIR_BASE) / rate) * SECOND + 1;
      if (at < this.timers[Timer.Repairs]!) this.arm(Timer.Repairs, Math.max(at, now + 1));
      this.repairs.sort((a, b) => a - b); // the oldest first, while not all may leave
      return undefined;
    }
    while (this.repairs.length > 0) {
      const n = this.repairs.shift()!;
      if (n < this.first || n >= this.sent) continue; // its slot was used again meanwhile
      const t = this.slots[n & this.mask]!;
      const to = t.want === Want.Unicast ? t.asker : GROUP;
      // The stream's first datagrams have its age, which has changed: with the old age a receiver that came later would act as
      // if it had been there at the beginning.
      const bytes = t.start ? withStart(t.bytes, this.startFields(now)) : t.bytes;
      t.last = t.want;
      t.want = Want.Not;
      t.repaired = now;
      this.debt += bytes.length;
      if (to === GROUP) this.pacing.sent += bytes.length;
      else for (const r of this.receivers) if (r.endpoint === to) r.arrivals.direct += bytes.length;
      this.pacing.spend(now, bytes.length);
      this.highestRepaired = Math.max(this.highestRepaired, n + 1);
      this.repairTurn = false;
      this.p.counters.repairs++;
      return { bytes, to };
    }
    return undefined;
  }

  /** A receiver reports datagrams as arrived: those that were sent again are given back to the budget. */
  private back(now: number, from: number, to: number): void {
    for (let n = Math.max(from, this.first); n < Math.min(to, this.highestRepaired); n++) {
      const t = this.slots[n & this.mask];
      if (t && t.repaired !== 0 && !t.back) {
        t.back = true;
        if (now - t.repaired <= REPAID_AFTER) this.debt = Math.max(this.debt - t.bytes.length, 0);
      }
    }
  }

  // Heartbeats.

  private noteSent(now: number): void {
    this.data.add(now, 1);
    const d = now - this.last;
    if (d < SOON / 2) {
      this.pace += (d - this.pace) / 8;
    } else if (d >= STATUS_EVERY) {
      if (this.stale) this.update();
      if (this.minNext >= this.sent - 1) this.woke = now;
    }
    this.last = now;
    this.since = 0;
    this.wait = this.quick();
    this.arm(Timer.Heartbeat, now + this.wait);
  }

  /** The time from a datagram to its first heartbeat: in a steady stream the next datagram shows as much. */
  private quick(): number {
    if (!this.nack) return BEAT_UNASKED;
    let d = BEAT_MIN;
    // Who is slower than usual is not waited for: a heartbeat in vain is cheaper.
    if (!this.stale) d = Math.max(d, Math.min(this.usual === 0 ? this.measured : Math.min(this.measured, this.usual), SOON));
    return Math.max(d, Math.min(this.pace * 1.5, SOON / 2));
  }

  private takeBeat(now: number, stay: number): number {
    return this.budget.take(now, Math.max(BEAT_RATE, BEAT_SHARE * this.data.perSecond(now)), BEAT_DEPTH, stay);
  }

  /** Queues a heartbeat to the group, within the budget: 0, or when there is one. */
  private queueBeat(now: number, ask: boolean): number {
    if (this.since >= BEATS_SOON && now - this.last < SOON) return this.last + SOON;
    const at = this.takeBeat(now, BEAT_SPARE);
    if (at !== 0) return at;
    this.since++;
    this.beatAsks ||= ask;
    if (!this.beatQueued) {
      this.beatQueued = true;
      this.p.queue((t) => {
        const f = this.heartbeat(t, this.beatAsks);
        this.beatQueued = this.beatAsks = false;
        return { to: GROUP, stream: this.id, frame: f, start: this.startIfYoung(t) };
      });
    }
    return 0;
  }

  /** Queues a heartbeat for one receiver that wants its report, within the budget: 0, or when there is one. */
  private probe(now: number, to: Endpoint): number {
    if (this.since >= BEATS_SOON && now - this.last < SOON) return this.last + SOON;
    const at = this.takeBeat(now, 0);
    if (at !== 0) return at;
    this.since++;
    this.p.queue((t) => ({ to, stream: this.id, frame: this.heartbeat(t, true), start: this.startIfYoung(t) }));
    return 0;
  }

  private beat(now: number): void {
    const held = this.blocked && (this.sent < this.next || this.unreported());
    const joined = this.joined;
    if (this.wait < BEAT_SLOW && !held && this.nack && joined > 0 && this.acknowledged()) {
      this.wait = BEAT_SLOW; // all receivers have everything: there is nothing to find out
      this.arm(Timer.Heartbeat, now + this.wait);
      return;
    }
    if (held && joined > ASK_ALL) {
      this.askSlowest(now);
    } else {
      const at = this.queueBeat(now, held || (this.nack && joined <= ASK_ALL && !this.acknowledged()));
      if (at !== 0) {
        this.arm(Timer.Heartbeat, Math.max(at, now + 1));
        return;
      }
    }
    let longest = BEAT_MAX;
    if (held || (this.nack && joined > 0 && !this.acknowledged())) longest = BEAT_BLOCKED;
    else if (now - this.last >= REST_AFTER && this.rests()) longest = BEAT_REST;
    this.wait = Math.min(this.wait * BEAT_GROWTH, longest);
    this.arm(Timer.Heartbeat, now + this.wait);
  }

  /** All receivers report rarely, and judge silence by the pauses that heartbeats give. */
  private rests(): boolean {
    if (this.stale) this.update();
    return this.leastPause > SHORT_PAUSE;
  }

  private askSlowest(now: number): void {
    this.update();
    let asked = 0;
    for (const r of this.receivers) {
      if (r.newcomer) continue;
      if (r.limit === this.minLimit || r.highest === this.minHighest || r.next === this.minNext) {
        this.probe(now, r.endpoint);
        if (++asked === ASK_ALL) return;
      }
    }
  }

  /** The round trip that half of the receivers keep at their quickest, where it says more than the longest does. */
  private usualTrip(now: number): number | undefined {
    if (this.usualOf !== this.joinedCount || now - this.usualAt >= USUAL_EVERY) {
      this.usualAt = now;
      this.usualOf = this.joinedCount;
      const trips = this.receivers.filter((r) => !r.newcomer && r.rtt.lately > 0).map((r) => r.rtt.lately).sort((a, b) => a - b);
      this.usual = trips.length > 0 ? Math.max(trips[(trips.length - 1) >> 1]!, RTT_MIN) : 0;
    }
    if (this.usual === 0 || this.joinedCount <= FEW_RECEIVERS || this.usual > (this.measured * 3) / 4) return undefined;
    return Math.floor(Math.min(this.usual, RTT_MAX));
  }

  private heartbeat(now: number, ask: boolean): Heartbeat {
    if (this.stale) this.update();
    const at = Math.floor(now);
    this.beats.push(at);
    if (this.beats.length > BEATS_REMEMBERED) this.beats.shift();
    this.p.counters.heartbeatsSent++;
    return {
      kind: FrameKind.Heartbeat, first: BigInt(this.first), last: BigInt(this.sent - 1),
      firstMessage: BigInt(this.messageAt(this.first)), nextMessage: BigInt(this.messageAt(this.sent)), sentAt: BigInt(at),
      roundTrip: Math.floor(Math.min(this.measured, RTT_MAX)), receivers: this.joined, wantStatus: ask || undefined,
      pause: (this.wait > BEAT_MAX ? BEAT_REST : BEAT_MAX) / US, usualTrip: this.usualTrip(now),
    };
  }

  // Starts, and the farewell.

  private beginning(now: number): boolean {
    return this.sent <= START_DATAGRAMS || now - this.opened < START_FOR;
  }

  private startFields(now: number): StartFields {
    return { first: 1, firstMessage: 1, age: Math.floor(Math.max(now - this.opened, 0)), lanes: this.p.cfg.lanes };
  }

  private startFrame(now: number): Start {
    return { kind: FrameKind.Start, first: 1n, firstMessage: 1n, age: BigInt(Math.floor(Math.max(now - this.opened, 0))), lanes: this.p.cfg.lanes };
  }

  private startIfYoung(now: number): Start | undefined {
    return this.beginning(now) ? this.startFrame(now) : undefined;
  }

  private sendStart(now: number): void {
    this.p.queue((t) => ({ to: GROUP, stream: this.id, frame: this.startFrame(t) }));
    if (++this.starts < START_COPIES) {
      this.arm(Timer.Start, now + this.startWait);
      this.startWait *= BEAT_GROWTH;
    }
  }

  leaveFrame(): Leave {
    return { kind: FrameKind.Leave, last: BigInt(this.sent - 1), nextMessage: BigInt(this.messageAt(this.sent)) };
  }
}
