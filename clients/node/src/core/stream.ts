// The receiving half of one stream. A data frame passes through it in one direction: it is put in order, then its messages
// are delivered. What is missing becomes a gap, which is asked for when it is due.
//
// Numbers of datagrams and messages have 64 bits. Inside, both are counted from where the stream began for this member:
// plain numbers, which are exact for 2^53 datagrams. bigint is at the edges only.
import { type Data, type Gap, type Heartbeat, type Id, type Leave, type Nak, type Status, FrameKind, MAX64, protocolOf } from "../wire/types.js";
import {
  type Endpoint, type LossReason, ASK_ALL, BEAT_MAX, BEAT_REST, DEFAULT_ROOM, GROUP, LONGEST_PAUSE, PAUSE_HALVES, cost,
} from "./core.js";
import { type GapRun, Gaps, newRun } from "./gaps.js";
import type { Protocol } from "./protocol.js";
import { backoff, FEW_RECEIVERS, holdOff, MS, NEVER, RoundTrip, RTT_INITIAL, RTT_MAX, RTT_MIN, SECOND, Timed, US } from "./timing.js";

export const enum State {
  Live,
  /** Nothing came for a while, and its sender did not answer. */
  Silent,
  /** Its sender was silent for long; if the sender goes on, the stream does too. */
  Dormant,
  /** Its sender's farewell came, or it began anew. */
  Left,
}

/** The deadlines of a stream. */
const enum Timer {
  TailEnd,
  FarewellEnd,
  SenderDue,
  SilenceEnd,
  Burial,
  StatusDue,
  NakDue,
  Count,
}

// Reports.
const STATUS_EVERY = 100 * MS;
const STATUS_EACH = SECOND / 2000; // a sender gets about 2,000 reports a second in all
const STATUS_SPREAD = 500 * US;
const SPREAD_EACH = 50 * US;
const ECHO_LONGEST = 2 * SECOND;
const LEAST_EVERY = 16 << 10;
const LEAST_ROOM = 16;
const IDLE_REPORTS = 5;
const IDLE_PAUSE = (LONGEST_PAUSE * 4) / 5;
const MISSING_EVERY = 10 * MS;
const MISSING_SOON = 1 * MS;

// The end of a stream. Nothing for 1.6 pauses: the sender is asked, four times, once each 0.4 pauses.
const SILENCES = 3;
const QUIETEST = 12;
const GRACE_MIN = 2 * MS;
const ASK_AFTER = 8; // fifths of a pause
const ASK_EVERY = 2;
const ASK_TIMES = 4;
const OUT_FOR = 10 * SECOND;

// Requests.
const ASK_GROWTH = 6;
const ASK_LONGEST = 50 * MS;
const ASK_GROUP = 6;
const ASK_FIRST = 2;
const GROUP_TRIES = 64;
const NO_GROUP_LEAST = 8;
const QUICK_TRIES = 2;
const QUICK_MOST = 128;
const QUICK_PER_TRY = 14;
const LEAST_TRIES = 4;
const TRIES_SPAN = 1024;
const TRIES_LEAST = 16;
const HURRIED = 16;
const PRESSED_EVEN = 3;
const PRESSED = 13;

// Reordering, as RACK has it (RFC 8985, section 3.3.2).
const REORDER_GAIN = 1 / 32;
const REORDER_SHARE = 0.25;
const REORDER_DECAY = 64;
const REORDER_MOST = 50 * MS;
const LATE_KEPT = 512;

const MAX_PACKED = 1024;
const MAX_REQUESTS = 1024;
const INT32 = 0xffff_ffff;

export class Stream extends Timed {
  state = State.Live;
  heard: number;
  paused = false;
  /** Of the datagrams' numbers due <= next <= highest, see docs of window in nack/recv_window.go. */
  due = 0;
  next = 0;
  highest = 0;
  seen = 0;
  readonly slots = new Map<number, Data>();
  readonly nack: boolean;
  removed = false;

  private base = 0n;
  private messageBase = 0n;
  private within = BEAT_MAX;
  private asks = 0;
  private differs = false;

  // Assembly of messages.
  private message = 0;
  private fresh = true;
  private missing = 0;
  private done = 0;
  private wrong = -1;
  assembling = false;
  private parts: Uint8Array[] = [];
  private length = 0;
  size = 0;
  grown = 0;
  private whole = false;
  private skipped = -1;

  // What is not waited for any more.
  private abandonedBelow = 0;
  private abandonedMessage: number | undefined = undefined;
  private why: LossReason | undefined;

  // What heartbeats and a farewell announced.
  private tail = 0;
  private tailMessage: number | undefined;
  private farewell: number | undefined;
  private jump: number | undefined;
  private jumpAt = 0n;
  private end = 0;
  private endMessage: number | undefined;

  // The group, as the sender reports it.
  private receivers = 0;
  private groupRTT = 0;
  private groupUsual = 0;

  // What is asked for.
  private readonly gaps = new Gaps();
  private tracked = 0;
  private nakQueued = false;
  private readonly rtt = new RoundTrip();
  private quickest = 0;
  private service = 0;
  private triesMark = 0;
  private triesExpected = 0;
  private triesMissed = 0;
  private direct = false;
  private groupTries = 0;
  private reorderShare = 0;
  private reorderLate = 0;
  private readonly late = new Map<number, number>();

  // How it comes.
  private byGroupAt = 0;
  private directCount = 0;
  private directMark = 0;
  private onlyDirect = false;

  // Reports.
  private statusQueued = false;
  private statusLimit = 0;
  private every = 0;
  private asked = 0;
  private received = 0;
  private datagrams = 0;
  private ahead = 0;
  private echo = 0n;
  private echoAt = 0;
  private sent = 0;
  private lapsed = 0;
  private outAt = 0;
  private missedCount = 0;
  private goneCount = 0;
  private arrived = 0;
  private rare = false;
  private idle = 0;
  private statusNext = 0;
  private pause = 0;
  private promised = 0;

  constructor(
    private readonly p: Protocol, readonly from: Id, readonly incarnation: number, readonly id: number,
    public endpoint: Endpoint, now: number,
  ) {
    super(Timer.Count, p);
    const protocol = protocolOf(id);
    this.nack = protocol === 2 || protocol === 4;
    this.heard = now;
  }

  get key(): string {
    return this.from + this.id;
  }

  /** Waits for what its sender sends, and reports to it. */
  get open(): boolean {
    return this.state <= State.Silent;
  }

  get held(): number {
    return this.slots.size;
  }

  private abs(n: number): bigint {
    const v = this.base + BigInt(n);
    return v > MAX64 ? MAX64 : v; // a limit may lie beyond the last number that there is
  }

  private rel(n: bigint): number {
    return Number(n - this.base);
  }

  private relMessage(n: bigint): number {
    return Number(n - this.messageBase);
  }

  /** Makes n the first datagram that is expected, and message its first message. */
  begin(now: number, n: bigint, message: bigint, there: boolean): void {
    this.base = n;
    this.messageBase = message;
    if (there) this.fresh = false;
    this.report(now, false);
    this.arm(Timer.SilenceEnd, now + this.silence());
    this.arm(Timer.SenderDue, now + this.fifths(ASK_AFTER));
  }

  // Deadlines.

  protected override expire(now: number, t: Timer, _at: number, late: number): void {
    switch (t) {
      case Timer.TailEnd:
        this.busy(now);
        this.abandon(this.tail, this.tailMessage, "LossUnrepaired");
        this.drain(now);
        break;
      case Timer.FarewellEnd: this.finish(now, State.Left); break;
      case Timer.SenderDue: this.askSender(now, late); break;
      case Timer.SilenceEnd:
        if (now - this.heard >= this.silence()) {
          if (late <= this.silence() / 4) {
            this.finish(now, State.Dormant);
            return;
          }
          this.heard = now; // this member did not run, so it could not receive anything
        }
        this.arm(Timer.SilenceEnd, this.heard + this.silence());
        break;
      case Timer.Burial: this.p.remove(this); break;
      case Timer.StatusDue: this.sendStatus(now); break;
      case Timer.NakDue:
        if (late >= this.p.cfg.repairTimeout / 16) {
          for (const g of this.gaps.list) if (g.since) g.since += late;
        }
        this.sendNak(now);
        break;
    }
  }

  // Data.

  /** Takes in one data frame. It returns why not, where it does not. */
  take(now: number, m: Data, length: number, from: Endpoint, group: boolean): string | undefined {
    let why = this.judge(m);
    if (why === "window" && this.overrun(now, this.rel(m.number))) why = this.judge(m);
    const n = this.rel(m.number);
    if (why === "stale") this.cameAgain(now, n);
    why ??= this.put(now, m, n, length);
    if (why !== undefined) {
      this.arrived += length; // it was of no use, and it came
      return why;
    }
    this.endpoint = from; // a member whose interface gets another address goes on under that one
    if (group) this.cameByGroup(now);
    else {
      this.direct = true;
      this.cameDirect(now);
    }
    return undefined;
  }

  private judge(m: Data): string | undefined {
    const n = this.rel(m.number);
    if (n < this.next || n < this.abandonedBelow || (n < this.seen && this.slots.has(n))) return "stale";
    if (n - this.due >= this.p.window) return "window";
    if (!this.plausible(m, n)) return "implausible";
    if (n === this.due && !this.paused && !this.follows(m)) return "implausible";
    return undefined;
  }

  /** Judges a frame that may have to wait, by what is known now. */
  private plausible(m: Data, n: number): boolean {
    const first = this.relMessage(m.firstMessage);
    const ahead = n - this.due + this.missing;
    return first + 1 >= this.message && first - this.message + 1 <= ahead * MAX_PACKED + 1;
  }

  /** Judges a frame that is due. */
  private follows(m: Data): boolean {
    const first = this.relMessage(m.firstMessage);
    const later = m.fragment && m.offset > 0;
    if (this.done > 0 || this.whole) return first === this.message - this.done; // offered again
    if (later && first === this.skipped) return true;
    if (this.missing === 0 && !this.fresh) {
      if (this.assembling) return later && first === this.message && m.size === this.size && m.offset === this.length;
      return !later && first === this.message;
    }
    if (first < this.message || (first === this.message && this.assembling && !later)) return false;
    return first - this.message <= (this.missing + 1) * MAX_PACKED;
  }

  private put(now: number, m: Data, n: number, length: number): string | undefined {
    if (n === this.due && !this.paused) {
      if (this.deliver(now, m)) {
        this.came(now, n, length);
        this.pass();
        if (this.held > 0 || this.due < this.abandonedBelow) this.drain(now);
        return undefined;
      }
      this.stop(); // it is kept, and offered again
    }
    if (this.room() <= 0) return "memory";
    this.slots.set(n, m);
    if (this.held === 1) this.p.holders++;
    this.p.held++;
    this.came(now, n, length);
    this.advance();
    if (!this.nack && n > this.next) { // BestEffort waits for nothing
      this.abandon(n, this.relMessage(m.firstMessage), "LossUnrepaired");
      this.drain(now);
    }
    return undefined;
  }

  private came(now: number, n: number, length: number): void {
    this.heard = now;
    if (this.state !== State.Live) this.wake(now);
    if (this.within !== BEAT_MAX) this.expect(now, BEAT_MAX);
    this.p.counters.dataReceived++;
    this.received += cost(length);
    this.datagrams++;
    const near = this.p.window / (2 * LEAST_ROOM);
    if (
      this.received >= this.every || this.datagrams >= this.p.window / 4 ||
      (this.statusLimit - n <= near && this.limit() >= this.statusLimit + near)
    ) this.full(now);
    if (n >= this.seen) {
      this.seen = n + 1;
      if (n === this.highest && n === this.tracked) { // the usual case: nothing is missing before it
        this.highest = this.tracked = n + 1;
        return;
      }
      this.highest = Math.max(this.highest, this.seen);
      this.notice(now);
    }
    const was = this.gaps.remove(n);
    if (was) this.repaired(now, n, was);
  }

  /** Delivers what is due, in order: messages, and losses in their place. */
  drain(now: number): void {
    while (!this.paused) {
      const m = this.slots.get(this.due);
      if (m === undefined) {
        if (this.due >= this.abandonedBelow) break;
        this.skip();
        continue;
      }
      if (this.follows(m)) {
        if (!this.deliver(now, m)) {
          this.stop();
          return;
        }
      } else if (this.wrong !== this.due) {
        // Whatever this was, the sender did not send it: ask for what it sent. The second one that contradicts counts.
        this.wrong = this.due;
        this.dropSlot(this.due);
        this.next = this.due;
        this.noticeAgain(now);
        return;
      } else {
        this.missing++;
        this.why = "LossMalformed";
      }
      this.dropSlot(this.due);
      this.pass();
    }
    this.advance();
    if (this.due === this.abandonedBelow && this.abandonedMessage !== undefined && !this.paused) {
      this.lostBelow(this.abandonedMessage);
      this.abandonedMessage = undefined;
    }
    if (this.state === State.Left && this.due >= this.highest && !this.paused) this.arm(Timer.Burial, this.heard + this.silence());
  }

  private dropSlot(n: number): void {
    this.slots.delete(n);
    this.p.held--;
    if (this.held === 0) this.p.holders--;
  }

  private advance(): void {
    while (this.slots.has(this.next)) this.next++;
    this.highest = Math.max(this.highest, this.next);
  }

  private pass(): void {
    this.due++;
    this.next = Math.max(this.next, this.due);
  }

  /** Passes over one datagram that will not come, or over all of them if none is held. */
  private skip(): void {
    const n = this.held === 0 ? this.abandonedBelow - this.due : 1;
    this.due += n;
    this.missing += n;
    this.next = Math.max(this.next, this.due);
    this.p.counters.gone += n;
    this.goneCount += n;
  }

  /** Waits no longer for what is missing below n; message is the first one of datagram n, where that is known. */
  private abandon(n: number, message: number | undefined, why: LossReason): void {
    if (n <= this.abandonedBelow) return;
    this.abandonedBelow = n;
    this.abandonedMessage = message;
    this.why = why;
    this.gaps.below(n);
    this.tracked = Math.max(this.tracked, n);
    this.next = Math.max(this.next, n);
    this.advance();
  }

  private stop(): void {
    this.paused = true;
    this.p.counters.pauses++;
    this.p.paused.push(this);
  }

  /** Reports the new room to the sender, after a pause. */
  resumed(now: number): void {
    if (this.open && this.limit() >= this.statusLimit + this.p.window / 4) this.report(now, true);
  }

  // Messages.

  private deliver(now: number, m: Data): boolean {
    if (m.fragment) return this.deliverPart(now, m);
    const first = this.relMessage(m.firstMessage);
    if (this.done === 0) {
      this.lostBelow(first);
      this.missing = 0;
      this.fresh = false;
      this.skipped = -1;
    }
    const list = m.messages;
    while (this.done < list.length) {
      const x = list[this.done]!;
      if (!this.hand(x.topic, x.kind, m.bytes.subarray(x.start, x.end))) return false;
      this.done++;
    }
    this.done = 0;
    return true;
  }

  private hand(topic: string, kind: number, payload: Uint8Array): boolean {
    const sequence = this.messageBase + BigInt(this.message);
    if (!this.p.sink.deliver({ from: this.from, stream: this.id, sequence, kind, topic, payload })) return false;
    this.p.counters.delivered++;
    this.p.counters.deliveredBytes += payload.length;
    this.message++;
    return true;
  }

  private deliverPart(now: number, m: Data): boolean {
    const first = this.relMessage(m.firstMessage);
    if (m.offset > 0 && first === this.skipped) {
      this.missing = 0;
      return true;
    }
    const continues = this.missing === 0 && this.assembling && first === this.message && m.offset === this.length;
    if (m.offset > 0 && (this.missing > 0 || this.fresh) && !continues) {
      // The beginning of this message is lost, so all of it is.
      if (this.fresh && first === this.message) this.message++; // this member came in the middle of it
      else this.lostBelow(first + 1);
      this.skipped = first;
      this.missing = 0;
      this.fresh = false;
      return true;
    }
    if (m.offset === 0) {
      this.lostBelow(first);
      this.missing = 0;
      this.fresh = false;
      this.skipped = -1;
      if (m.size > this.p.cfg.maxMessageSize) {
        this.lose(first, "LossMalformed");
        this.skipped = first;
        return true;
      }
      if (!this.whole) {
        if (!this.p.beginAssembly(now, this, m.size)) return false;
        this.assembling = true;
        this.size = m.size;
        this.parts = [];
        this.length = 0;
      }
    }
    const x = m.messages[0]!;
    if (!this.whole) {
      this.parts.push(m.bytes.subarray(x.start, x.end));
      this.length += x.end - x.start;
      this.grown = now;
      if (this.length < this.size) return true;
    }
    const payload = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts, this.length);
    if (!this.hand(x.topic, x.kind, payload)) {
      this.whole = true;
      this.parts = [payload];
      return false;
    }
    this.stopAssembling();
    return true;
  }

  private stopAssembling(): void {
    if (this.assembling) this.p.endAssembly(this);
    this.assembling = false;
    this.whole = false;
    this.parts = [];
    this.length = 0;
  }

  /** Gives up a message whose memory another stream needs. */
  giveUpAssembly(): void {
    const m = this.message;
    this.lose(m, "LossMalformed");
    this.skipped = m;
  }

  /** Other streams may have the memory of this one's message: it got no part for long. */
  yields(now: number): boolean {
    const since = now - this.grown;
    const eviction = this.p.cfg.eviction;
    return this.assembling && !this.whole && ((since >= eviction && now - this.heard >= eviction) || since >= 10 * eviction);
  }

  private lostBelow(n: number): void {
    if (n > this.message) this.lose(n - 1, this.why);
  }

  private lose(last: number, why: LossReason | undefined): void {
    const first = this.message;
    this.p.counters.lost += last - first + 1;
    this.message = last + 1;
    this.stopAssembling();
    this.p.sink.lost({
      from: this.from, stream: this.id, first: this.messageBase + BigInt(first), last: this.messageBase + BigInt(last),
      reason: why ?? "LossMalformed",
    });
  }

  // Life.

  start(now: number, from: Endpoint, differs: boolean): void {
    this.endpoint = from;
    this.compare(differs);
    this.hear(now);
  }

  /** Counts a stream whose sender hashes over another number of lanes, once. */
  compare(differs: boolean): void {
    if (differs && !this.differs) {
      this.differs = true;
      this.p.counters.lanesDiffer++;
    }
  }

  private hear(now: number): void {
    if (this.resting && now - this.heard >= this.p.cfg.eviction + this.within - BEAT_MAX) this.lapsed = now;
    this.heard = now;
    if (this.state !== State.Live) this.wake(now);
  }

  private wake(now: number): void {
    const was = this.state;
    this.state = State.Live;
    this.p.event("StreamResumed", this);
    this.busy(now);
    this.arm(Timer.SenderDue, now + this.fifths(ASK_AFTER));
    if (was === State.Silent) return;
    this.p.ended--;
    this.arm(Timer.StatusDue, now);
    this.arm(Timer.SilenceEnd, now + this.silence());
  }

  private fifths(n: number): number {
    return (this.within * n) / 5;
  }

  /** Notes after how long the next sign of life comes at the latest. */
  private expect(now: number, pause: number): void {
    pause = Math.min(Math.max(pause, BEAT_MAX), BEAT_REST);
    const sooner = pause < this.within;
    this.within = pause;
    if (!sooner || this.state !== State.Live) return;
    this.arm(Timer.SenderDue, Math.min(this.timers[Timer.SenderDue]!, now + this.fifths(ASK_AFTER)));
    this.arm(Timer.SilenceEnd, Math.min(this.timers[Timer.SilenceEnd]!, now + this.silence()));
  }

  private askSender(now: number, late: number): void {
    if (this.state !== State.Live) return;
    let at = this.heard + this.fifths(ASK_AFTER);
    const every = this.fifths(ASK_EVERY);
    if (now < at) {
      this.asks = 0; // it was heard meanwhile
    } else if (late > every / 2) {
      this.asks = 0; // this member did not run
      at = now + this.fifths(ASK_AFTER);
    } else if (this.asks < ASK_TIMES) {
      this.asks++;
      this.echo = 0n; // a report without an echo asks for a heartbeat
      this.queueStatus();
      at = now + every;
    } else {
      this.asks = 0;
      this.state = State.Silent;
      this.p.event("StreamSilent", this);
      return;
    }
    this.arm(Timer.SenderDue, at);
  }

  /** Takes in a heartbeat. It returns why not, where it does not. */
  heartbeat(now: number, h: Heartbeat, from: Endpoint, group: boolean): string | undefined {
    if (this.rel(h.last) + 1 < this.seen) { // data overtook it
      if (group || h.sentAt <= this.echo) return "stale";
      this.p.counters.heartbeatsReceived++;
      this.echo = h.sentAt;
      this.echoAt = now;
      return undefined;
    }
    this.endpoint = from;
    if (group) this.cameByGroup(now);
    else this.cameDirect(now);
    this.p.counters.heartbeatsReceived++;
    this.hear(now);
    this.takeHeartbeat(now, h);
    return undefined;
  }

  /** The first heartbeat of a stream that begins with it. */
  noteGroup(h: Heartbeat): void {
    this.receivers = h.receivers;
    this.groupRTT = h.roundTrip;
    this.groupUsual = h.usualTrip ?? 0;
  }

  private takeHeartbeat(now: number, h: Heartbeat): void {
    this.echo = h.sentAt;
    this.echoAt = now;
    const fewer = h.receivers < this.receivers;
    this.noteGroup(h);
    this.expect(now, (h.pause ?? 0) * US);
    this.rare = h.pause !== undefined;
    if (this.rare && fewer && this.resting) this.report(now, false); // the sender may have evicted this one
    if ((h.every ?? 0) !== this.asked) this.reportEach(h.every ?? 0);
    if (h.wantStatus) this.report(now, this.nack && this.receivers <= ASK_ALL);
    if (h.evicted) this.outAt = now;
    const first = this.rel(h.first);
    const last = this.rel(h.last) + 1;
    let why: LossReason = "LossRetention";
    if (first > this.due + this.p.window) {
      // Far behind: the sender went on without this receiver. A single heartbeat may be forged.
      if (this.jump === undefined || first < this.jump || h.sentAt === this.jumpAt) {
        this.jump = first;
        this.jumpAt = h.sentAt;
        this.report(now, false);
        return;
      }
      why = "LossReset";
    } else if (this.nack && (this.evicted(now) || (this.outAt !== 0 && now - this.outAt < OUT_FOR))) {
      why = "LossReset";
    }
    this.jump = undefined;
    if (first > this.next) {
      this.busy(now);
      this.abandon(first, this.relMessage(h.firstMessage), why);
      this.drain(now);
    }
    const end = Math.min(last, this.due + this.p.window);
    if (!this.nack) {
      if (end > this.next && (this.timers[Timer.TailEnd] === NEVER || end > this.tail)) {
        this.tail = last;
        this.tailMessage = this.relMessage(h.nextMessage);
        this.arm(Timer.TailEnd, now + this.grace());
      }
      return;
    }
    this.end = last;
    this.endMessage = this.relMessage(h.nextMessage);
    if (this.abandonedBelow === last && this.due === last && this.missing > 0 && this.abandonedMessage === undefined) {
      this.abandonedMessage = this.endMessage; // what was given up at the end is reported in messages now
      this.drain(now);
    }
    if (end < this.highest && end >= this.seen) {
      // An earlier one announced datagrams that do not exist.
      this.highest = Math.max(this.seen, this.next, end);
      this.gaps.above(this.highest);
      this.tracked = Math.min(this.tracked, this.highest);
      return;
    }
    if (end > this.highest) {
      this.highest = end;
      this.notice(now);
    }
  }

  /** Takes in the sender's farewell. What is on its way gets a moment to arrive. */
  leave(now: number, l: Leave): void {
    if (this.state === State.Left || this.timers[Timer.FarewellEnd] !== NEVER) return;
    this.farewell = undefined;
    const last = this.rel(l.last!) + 1;
    if (this.open && last >= this.seen && last <= this.due + this.p.window) {
      this.farewell = this.relMessage(l.nextMessage!);
      this.highest = Math.max(this.highest, last);
      this.notice(now); // the sender may still answer
    }
    this.arm(Timer.FarewellEnd, now + this.grace());
  }

  /** Abandons all that is missing: the sender is gone. */
  finish(now: number, state: State): void {
    const was = this.state;
    if (this.open) this.p.ended++;
    this.state = state;
    this.timers.fill(NEVER);
    this.abandon(this.highest, this.farewell, "LossSenderGone");
    if (this.farewell !== undefined && this.abandonedBelow === this.highest && this.abandonedMessage === undefined) {
      this.abandonedMessage = this.farewell;
    }
    this.farewell = undefined;
    this.drain(now);
    if (state === State.Left && this.due >= this.highest && this.skipped < 0 && this.assembling && !this.paused) {
      this.why = "LossSenderGone";
      this.lostBelow(this.message + 1); // its other parts will not come
    }
    if (state === State.Left) this.p.event("StreamLeft", this);
    else if (was === State.Live) this.p.event("StreamSilent", this);
  }

  /** Has an ended stream forgotten when nothing of it can be on its way any more. */
  bury(now: number, known: boolean): void {
    this.arm(Timer.Burial, known ? this.heard + this.silence() : now);
  }

  /** It is taken out of every table. */
  forget(): void {
    if (this.assembling) this.lose(this.message, "LossSenderGone");
    for (const n of [...this.slots.keys()]) this.dropSlot(n);
    this.removed = true;
    this.at = NEVER;
  }

  private grace(): number {
    return Math.max(4 * this.rtt.value(0), 4 * Math.min(this.groupRTT, RTT_MAX), GRACE_MIN);
  }

  private silence(): number {
    return Math.max(SILENCES * this.p.cfg.eviction, QUIETEST * this.within);
  }

  // How it comes: multicast from a sender may be blocked while unicast passes. Then all is asked for as if it were again,
  // which the sender answers by unicast.

  private cameByGroup(now: number): void {
    this.byGroupAt = now;
    this.directCount = 0;
    this.onlyDirect = false;
  }

  private cameDirect(now: number): void {
    if (this.directCount === 0) this.directMark = this.highest;
    this.directCount++;
    if (this.onlyDirect || this.directCount < NO_GROUP_LEAST || this.byGroupAt === 0 || !this.nack) return;
    if (this.highest > this.directMark && now - this.byGroupAt >= this.p.cfg.eviction) this.onlyDirect = true;
  }

  // What is missing.

  private get few(): boolean {
    return this.receivers <= FEW_RECEIVERS;
  }

  private roundTrip(): number {
    return this.groupRTT === 0 ? RTT_INITIAL : Math.min(Math.max(this.groupRTT, RTT_MIN), RTT_MAX);
  }

  /** The round trip that half of the group keep. Timers that keep requests few are counted in it: slow members delay nobody. */
  private usualTrip(): number {
    return this.groupUsual === 0 ? this.roundTrip() : Math.min(Math.max(this.groupUsual, RTT_MIN), this.roundTrip());
  }

  /** Looks for what is missing below highest and has not been looked for. */
  private notice(now: number): void {
    this.busy(now);
    if (!this.nack) {
      this.tracked = Math.max(this.tracked, this.highest);
      return;
    }
    let n = Math.max(this.tracked, this.next);
    let missed = 0;
    while (n < this.highest && !this.gaps.full) {
      if (n < this.due || this.slots.has(n)) {
        n++;
        continue;
      }
      let end = n + 1;
      while (end < this.highest && !this.slots.has(end)) end++;
      const g = newRun(n, end, now);
      g.at = now + backoff(this.p.cfg.random, this.usualTrip(), this.receivers) + this.reorderWait();
      this.gaps.add(g);
      this.askAt(g.at);
      const every = Math.max(MISSING_EVERY, this.receivers * STATUS_EACH);
      const at = Math.max(this.sent + every, now + MISSING_SOON);
      if (at < this.timers[Timer.StatusDue]!) this.arm(Timer.StatusDue, at);
      missed += end - n;
      n = end;
    }
    this.p.counters.missed += missed;
    this.missedCount += missed;
    this.tracked = n;
    if (n > this.triesMark) {
      this.triesExpected += n - this.triesMark;
      this.triesMark = n;
    }
    this.triesMissed += missed;
    if (this.triesExpected > TRIES_SPAN) {
      this.triesMissed *= TRIES_SPAN / this.triesExpected;
      this.triesExpected = TRIES_SPAN;
    }
  }

  private noticeAgain(now: number): void {
    if (!this.nack || this.slots.has(this.next)) return;
    this.gaps.remove(this.next);
    if (this.next < this.highest && !this.gaps.full) {
      const g = newRun(this.next, this.next + 1, now);
      g.attempts = 1;
      this.gaps.add(g);
      this.askAt(now);
    }
  }

  private askAt(at: number): void {
    if (at < this.timers[Timer.NakDue]!) this.arm(Timer.NakDue, at);
  }

  private repaired(now: number, n: number, was: GapRun): void {
    this.p.counters.repaired++;
    if (was.attempts > 0) {
      const took = now - was.since;
      if (this.service === 0) this.service = took;
      this.service = Math.max(this.service + (took - this.service) / 8, 1);
      this.hurry(now, n, was.asked);
    }
    if (this.few) {
      if (was.attempts === 1) {
        this.reorderShare -= this.reorderShare * REORDER_GAIN;
        this.late.set(n % LATE_KEPT, n);
        this.lateNoticed.set(n % LATE_KEPT, was.noticed);
      } else if (was.attempts === 0) {
        this.overtaken(now - was.noticed);
      }
    }
    if (was.attempts === 1 && was.asked !== 0) { // Karn's rule: only what was asked for once
      const d = now - was.asked;
      this.rtt.sample(d);
      if (this.quickest === 0 || d < this.quickest) this.quickest = d;
    }
    if (this.gaps.list.length < 512 && this.tracked < this.highest) this.notice(now);
  }

  private readonly lateNoticed = new Map<number, number>();

  private reorderWait(): number {
    return this.reorderShare < REORDER_SHARE ? 0 : this.reorderLate * 1.25;
  }

  private overtaken(late: number): void {
    this.reorderShare += (1 - this.reorderShare) * REORDER_GAIN;
    this.reorderLate = Math.min(Math.max(this.reorderLate - this.reorderLate / REORDER_DECAY, late), REORDER_MOST);
  }

  /** A datagram came although it is here: it had been late, and not lost. */
  private cameAgain(now: number, n: number): void {
    const i = n % LATE_KEPT;
    if (this.late.get(i) !== n) return;
    this.late.delete(i);
    this.reorderShare += (1 - this.reorderShare) * REORDER_GAIN;
    this.overtaken(now - this.lateNoticed.get(i)!);
  }

  /** Lets the NAK of another receiver stand for this one's: its first-time gaps will be repaired for all. */
  overhear(now: number, n: Nak): void {
    if (this.gaps.list.length === 0 || this.few) return;
    for (const g of n.gaps) {
      const first = this.rel(g.first);
      const end = first + g.count;
      for (let i = this.gaps.find(first); i < this.gaps.list.length && this.gaps.list[i]!.first < end; i++) {
        i = this.gaps.isolate(i, first, end);
        const x = this.gaps.list[i]!;
        if (x.first < first || x.end > end || x.attempts > 0) continue;
        x.at = now + holdOff(this.usualTrip()) + backoff(this.p.cfg.random, this.usualTrip(), this.receivers);
        this.p.counters.naksSuppressed++;
      }
    }
  }

  private sendNak(now: number): void {
    if (this.nakQueued) return;
    this.giveUp(now);
    let at = NEVER;
    for (const g of this.gaps.list) at = Math.min(at, g.at);
    if (at === NEVER) return;
    if (at <= now) {
      if (this.grant() === 0 && !this.lacksDue()) at = now + this.patience(0); // what came now could not be kept
      else {
        at = this.p.takeNak(now);
        if (at === 0) {
          this.nakQueued = true;
          this.p.queue((t) => this.buildNak(t));
          return;
        }
      }
    }
    this.arm(Timer.NakDue, at);
  }

  /** Writes a NAK for every gap that is due. Nothing: what was missing has come meanwhile. */
  private buildNak(now: number): { to: Endpoint; stream: number; frame: Nak } | undefined {
    const gaps: Gap[] = [];
    const again: Gap[] = [];
    const most = Math.min(this.p.nakRoom, MAX_REQUESTS);
    let spare = this.grant();
    let stuck = false;
    // What is due within a fraction of the round trip is asked for now: one datagram less.
    const soonish = this.few ? now + this.rtt.value(RTT_INITIAL) / 8 : now;
    let next = NEVER;
    this.nakQueued = false;
    this.timers[Timer.NakDue] = NEVER;
    for (let i = 0; i < this.gaps.list.length; i++) {
      const g = this.gaps.list[i]!;
      if (g.at <= soonish && gaps.length + again.length < most) {
        let count = Math.min(g.end - g.first, INT32);
        if (i > 0 || !this.lacksDue()) { // what is due is delivered at once, and takes no memory
          count = Math.min(count, spare);
          spare -= count;
        }
        if (count <= 0) {
          g.at = now + this.patience(0);
          g.since = 0;
        } else {
          stuck = this.ask(now, g, count, gaps, again) || stuck;
        }
      }
      next = Math.min(next, g.at);
    }
    if (next !== NEVER) this.arm(Timer.NakDue, next);
    if (gaps.length + again.length === 0 || !this.open) return undefined;
    this.p.counters.naksSent++;
    let to = this.endpoint;
    if ((gaps.length > 0 && !this.few) || stuck) to = GROUP;
    if (this.onlyDirect) to = this.endpoint;
    return { to, stream: this.id, frame: { kind: FrameKind.Nak, origin: this.from, originIncarnation: this.incarnation, gaps, again } };
  }

  /** Puts the first count datagrams of a gap into a request. It reports whether that has to go to the group. */
  private ask(now: number, g: GapRun, count: number, gaps: Gap[], again: Gap[]): boolean {
    if (g.since === 0) g.since = g.failedAt = now;
    const list = g.attempts === 0 && !this.onlyDirect ? gaps : again;
    const first = this.abs(g.first);
    const last = list[list.length - 1];
    if (last && last.first + BigInt(last.count) === first) last.count += count;
    else list.push({ first, count });
    const vain = g.asked !== 0;
    g.attempts = Math.min(g.attempts + 1, 0xfffe);
    g.unheard = this.heard < g.asked ? Math.min(g.unheard + 1, ASK_GROWTH) : 0;
    if (vain && now - g.failedAt >= this.takes()) {
      g.failed = Math.min(g.failed + 1, 0xfffe);
      g.failedAt = now;
    }
    g.asked = now;
    g.at = now + this.again(now, g);
    const end = g.since + this.p.cfg.repairTimeout;
    if (end > now) g.at = Math.min(g.at, end);
    g.byGroup = g.attempts > ASK_GROUP && g.attempts % 2 > 0;
    if (!this.direct && g.attempts > ASK_FIRST && g.attempts % 2 > 0 && this.groupTries < GROUP_TRIES) {
      this.groupTries++;
      g.byGroup = true;
    }
    return g.byGroup;
  }

  /** The first gap begins with what is to be delivered next: that takes no memory. */
  private lacksDue(): boolean {
    return !this.paused && this.gaps.list.length > 0 && this.gaps.list[0]!.first === this.due;
  }

  /** How long to wait for a repair before asking again; it is spread, so that receivers do not ask in one moment. */
  private patience(unheard: number): number {
    let d = this.rtt.timeout(this.roundTrip());
    if (!this.few) d = Math.max(d, 2 * this.usualTrip());
    d = Math.min(d * 2 ** unheard, Math.max(ASK_LONGEST, d));
    return d + this.p.cfg.random.below(d / 4 + 1);
  }

  /** How long it takes as a rule until something comes of a request. */
  private takes(): number {
    return Math.max(this.service, (this.roundTrip() * 5) / 4);
  }

  private failures(now: number, g: GapRun): number {
    return Math.min(g.failed, Math.floor((now - g.since) / this.takes()));
  }

  /** After how many requests in vain the pauses grow: with a share p lost both ways a request succeeds with (1-p)^2. */
  private quick(): number {
    const arrives = 1 - Math.min(this.triesMissed / Math.max(this.triesExpected, TRIES_LEAST), 0.9);
    return Math.min(QUICK_TRIES + Math.floor(QUICK_PER_TRY * (1 / (arrives * arrives) - 1)), QUICK_MOST);
  }

  /** The lowest gaps are asked for again at once if a repair that was asked for no earlier has come after them. */
  private hurry(now: number, n: number, asked: number): void {
    const quick = this.quick();
    const soonest = this.quickest === 0 ? this.roundTrip() : Math.max(this.quickest, RTT_MIN);
    for (let i = 0; i < Math.min(this.gaps.list.length, HURRIED); i++) {
      const g = this.gaps.list[i]!;
      if (g.end > n) return;
      if (g.asked !== 0 && g.asked <= asked && now - g.asked >= soonest && this.failures(now, g) < quick && g.at > now) {
        g.at = now + this.reorderWait();
        this.askAt(g.at);
      }
    }
  }

  /** The pause before a gap that is asked for now is asked for again. */
  private again(now: number, g: GapRun): number {
    let pause = Math.max(this.patience(g.unheard), this.service / 2);
    if (g === this.gaps.list[0] && this.few) {
      // The whole stream waits for it, and at the sender the lowest one comes first.
      const d = 2 * Math.max(this.quickest, this.roundTrip()) * 2 ** (Math.max(g.lowest, PRESSED_EVEN) - PRESSED_EVEN);
      g.lowest = Math.min(g.lowest + 1, PRESSED);
      pause = Math.min(d + this.p.cfg.random.below(d / 4 + 1), pause);
    }
    const over = this.failures(now, g) - this.quick();
    if (over <= 0) return pause;
    return Math.min(pause * 4 ** over, Math.max(this.p.cfg.repairTimeout / 2, pause));
  }

  /** Gives up, in order, what has been asked for in vain for repairTimeout although the sender is there. */
  private giveUp(now: number): void {
    if (now - this.heard >= this.p.cfg.eviction) return; // it is silent: that is another matter
    let gone = false;
    for (;;) {
      const g = this.gaps.list[0];
      if (!g || g.since === 0 || now - g.since < this.p.cfg.repairTimeout || g.failed < this.quick() + LEAST_TRIES) break;
      if (g.end <= this.abandonedBelow) break;
      gone = true;
      this.abandon(g.end, g.end === this.end ? this.endMessage : undefined, "LossTimeout");
      this.drain(now);
    }
    if (!gone) return;
    if (this.tracked < this.highest) this.notice(now);
    this.report(now, true);
  }

  /** Makes room for datagram n behind the window: its sender waits for this receiver no longer. */
  private overrun(now: number, n: number): boolean {
    if (!this.nack || this.paused || n - this.due >= 2 * this.p.window) return false;
    for (;;) {
      const g = this.gaps.list[0];
      if (n - this.due < this.p.window || !g || g.failed < LEAST_TRIES || g.end <= this.abandonedBelow || this.paused) break;
      this.abandon(g.end, undefined, "LossReset");
      this.drain(now);
    }
    return n - this.due < this.p.window;
  }

  // Reports.

  private get resting(): boolean {
    return this.idle > IDLE_REPORTS;
  }

  private longest(): number {
    return Math.max(this.p.cfg.eviction, (this.promised * PAUSE_HALVES) / 2);
  }

  /** The sender has evicted this receiver in the last moments: it did not run, or could not send. */
  private evicted(now: number): boolean {
    return (this.sent !== 0 && now - this.sent >= this.longest()) || (this.lapsed !== 0 && now - this.lapsed < this.p.cfg.eviction);
  }

  /** Ends the rest of an idle stream, if there is one. */
  private busy(now: number): void {
    if (!this.resting) return;
    this.idle = 0;
    this.datagrams -= this.ahead;
    this.ahead = 0;
    const at = now + this.p.cfg.random.below(this.statusEvery());
    if (at < this.timers[Timer.StatusDue]!) this.arm(Timer.StatusDue, at);
  }

  private full(now: number): void {
    if (this.resting) {
      this.busy(now);
      if (this.received < this.every) return;
    }
    this.report(now, true);
  }

  /** Puts a report in line: at once, or soon, spread over receivers. */
  private report(now: number, atOnce: boolean): void {
    if (this.statusQueued) return;
    if (this.every === 0) this.reportEach(0);
    if (atOnce) {
      if (!this.nack) {
        this.received = 0; // its sender does not wait for reports
        return;
      }
      this.queueStatus();
      return;
    }
    const spread = Math.max(STATUS_SPREAD, Math.min(this.receivers * SPREAD_EACH, STATUS_EVERY));
    const at = now + this.p.cfg.random.below(spread);
    if (at < this.timers[Timer.StatusDue]!) this.arm(Timer.StatusDue, at);
  }

  private queueStatus(): void {
    if (this.statusQueued) return;
    this.statusQueued = true;
    this.p.queue((t) => this.buildStatus(t));
  }

  /** Sets how many bytes come between two reports: what the sender asked for, and a quarter of the room at most. */
  private reportEach(asked: number): void {
    this.asked = asked;
    const c = cost(this.p.cfg.datagram);
    const room = Math.min(this.p.cfg.room || DEFAULT_ROOM, this.p.window * c);
    this.every = Math.max(Math.floor(room / 4), 2 * c);
    if (asked !== 0) this.every = Math.min(this.every, Math.max(asked, LEAST_EVERY));
  }

  private sendStatus(now: number): void {
    this.queueStatus();
    const every = this.statusPause();
    this.arm(Timer.StatusDue, now + (every * 3) / 4 + this.p.cfg.random.below(every / 2));
  }

  private statusEvery(): number {
    return Math.max(STATUS_EVERY, Math.min(this.receivers * STATUS_EACH, this.p.cfg.eviction / 3));
  }

  /** The mean time to the next report. */
  private statusPause(): number {
    const every = this.statusEvery();
    const quiet = this.state === State.Live && !this.paused && this.held === 0 && this.due === this.highest;
    if (!this.rare || !quiet || this.next !== this.statusNext) {
      this.idle = 0;
      this.statusNext = this.next;
      return every;
    }
    if (this.resting) {
      this.pause = Math.min(2 * this.pause, Math.max(IDLE_PAUSE, every));
      return this.pause;
    }
    this.idle++;
    if (!this.resting) return every;
    this.pause = every + this.p.cfg.random.below(every);
    return this.pause;
  }

  /** The lowest datagram that there is no room for. */
  private limit(): number {
    let room = this.grant();
    if (!this.paused) room = Math.max(room, Math.floor(this.p.window / LEAST_ROOM));
    return Math.min(this.due + this.p.window, Math.max(this.seen, this.next) + room);
  }

  private buildStatus(now: number): { to: Endpoint; stream: number; frame: Status } | undefined {
    this.statusQueued = false;
    if (!this.open || this.p.closed) return undefined; // after the farewell it would make a receiver of this member again
    this.arrived += this.received - Math.min(this.received, (this.datagrams - this.ahead) * 256);
    this.received = this.datagrams = this.ahead = 0;
    this.statusLimit = this.limit();
    this.p.counters.statusesSent++;
    if (this.sent !== 0 && now - this.sent >= this.longest()) this.lapsed = now;
    this.sent = now;
    this.promised = 0;
    if (this.resting) {
      this.datagrams = this.ahead = this.p.window; // the next datagram ends the rest
      this.promised = Math.min((this.pause * 5) / 4, LONGEST_PAUSE);
    }
    let held = now - this.echoAt;
    if (held > ECHO_LONGEST) {
      this.echo = 0n; // too old to measure the round trip with
      held = 0;
    }
    const highest = Math.max(this.highest, this.next);
    return {
      to: this.endpoint, stream: this.id,
      frame: {
        kind: FrameKind.Status, origin: this.from, originIncarnation: this.incarnation,
        next: this.abs(this.next), highest: this.abs(highest), limit: this.abs(Math.max(this.statusLimit, this.next)),
        room: Math.min(this.p.cfg.room, 1 << 30), echo: this.echo, held: this.echo === 0n ? 0 : Math.floor(held),
        missed: BigInt(this.missedCount), gone: BigInt(this.goneCount),
        pause: Math.floor(this.promised / US) || undefined,
        arrived: this.arrived > 0 ? BigInt(this.arrived) : undefined,
        clock: this.arrived > 0 ? BigInt(Math.floor(now)) : undefined,
        every: this.every || undefined, noGroup: this.onlyDirect || undefined,
      },
    };
  }

  // Memory. A few streams get most of what there is, many share it equally (Choudhury and Hahne, 1998).

  private room(): number {
    return 2 * this.p.left() - this.held;
  }

  private grant(): number {
    const n = this.p.holders + (this.held === 0 ? 1 : 0);
    return Math.max(Math.min(Math.floor(this.p.left() / n), this.room()), 0);
  }
}
