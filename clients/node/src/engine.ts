// One start of a channel: the core, the sockets and the clock. Node's event loop takes the place of an engine's thread.
import { randomBytes } from "node:crypto";
import type { FullConfig } from "./config.js";
import { type CoreEvent, type Delivery, type Loss } from "./core/core.js";
import { Protocol as Core } from "./core/protocol.js";
import type { Sender, Topic } from "./core/sender.js";
import { MS, NEVER, Random, SECOND } from "./core/timing.js";
import { Deque } from "./deque.js";
import { BlazeError } from "./errors.js";
import { memberID } from "./ids.js";
import { matches } from "./topic.js";
import { Transport } from "./udp.js";
import { parseURI } from "./uri.js";
import { type Id, clusterHash, decode, idOf, laneOfTopic, newDatagram, peekCluster } from "./wire/index.js";

/** Nanoseconds since the process began, from 1. */
export function clock(): number {
  return Math.floor(performance.now() * 1e6) + 1;
}

interface Waiting {
  topic: Topic;
  kind: number;
  payload: Uint8Array;
  resolve: () => void;
  reject: (e: Error) => void;
  done: boolean;
}

/** A stream that is sent, and who waits for room in it. */
interface Out {
  sender: Sender;
  waiting: Deque<Waiting>;
}

const PUMP_AT = 16; // datagrams that wait before an offer sends them itself

export class Engine {
  readonly self: Id;
  readonly core: Core;
  private readonly cluster: bigint;
  private readonly outs = new Map<string, Out>();
  private readonly routes = new Map<string, Out>();
  private readonly random: Random;
  private immediate: NodeJS.Immediate | undefined;
  private timer: NodeJS.Timeout | undefined;
  private timerAt = NEVER;
  private stopped = false;
  private receiverWaits: (() => void)[] = [];
  transport!: Transport;
  dropsByLoss = 0;

  private constructor(private readonly cfg: FullConfig, incarnation: number, datagram: number, room: number, sink: {
    deliver(d: Delivery): boolean; lost(l: Loss): void; event(e: CoreEvent): void;
  }) {
    this.self = idOf(randomBytes(16));
    this.cluster = clusterHash(cfg.cluster);
    this.random = new Random(cfg.seed);
    this.core = new Core({
      self: this.self, incarnation, cluster: this.cluster, datagram, window: cfg.window, maxMessageSize: cfg.maxMessageSize,
      eviction: Math.max(cfg.failureTimeout * MS, SECOND), repairTimeout: cfg.repairTimeout * MS, room, lanes: cfg.lanes,
      maxStreams: cfg.maxStreams, selfDelivery: !cfg.noSelfDelivery, fastest: cfg.flowControl === "FASTEST",
      freePace: cfg.congestionControl === "OFF", random: this.random,
    }, {
      deliver: sink.deliver, lost: sink.lost,
      event: (e) => {
        if (e.kind.startsWith("Receiver")) for (const w of this.receiverWaits.splice(0)) w();
        sink.event(e);
      },
    });
  }

  static async start(cfg: FullConfig, sink: { deliver(d: Delivery): boolean; lost(l: Loss): void; event(e: CoreEvent): void }): Promise<Engine> {
    let e: Engine | undefined;
    const early: [Buffer, string, boolean][] = [];
    const t = await Transport.open(
      parseURI(cfg.broadcastURI),
      (b, from, group) => (e ? e.receive(b, from, group) : early.push([b, from, group])),
      () => e?.wake(),
    );
    e = new Engine(cfg, 0, t.datagram, t.room, sink);
    e.transport = t;
    e.core.startAt(clock());
    for (const [b, from, group] of early) e.receive(b, from, group);
    e.wake();
    return e;
  }

  private readonly datagram = newDatagram();

  private receive(b: Buffer, from: string, group: boolean): void {
    if (this.stopped) return;
    if (this.cfg.loss > 0 && this.random.float() < this.cfg.loss) {
      this.dropsByLoss++;
      return;
    }
    const c = this.core.counters;
    const peeked = peekCluster(b);
    if (peeked !== undefined && peeked !== this.cluster) {
      c.drop("cluster");
      return;
    }
    const d = this.datagram;
    const why = decode(b, d);
    if (why) {
      c.drop(why);
    } else if (d.cluster !== this.cluster) {
      c.drop("cluster");
    } else if (d.transmitter === this.self) {
      c.drop("own");
    } else {
      this.core.step(clock(), d, b.length, from, group);
      this.wake();
    }
  }

  /** Has a turn come in this turn of the event loop. */
  wake(): void {
    if (this.immediate || this.stopped) return;
    this.immediate = setImmediate(() => {
      this.immediate = undefined;
      this.turn();
    });
  }

  private turn(): void {
    if (this.stopped) return;
    const now = clock();
    this.core.deliver(now);
    this.core.tick(now);
    this.core.flush(now);
    this.pump(now);
    for (const o of this.outs.values()) this.serve(o, now);
    this.core.deliver(now);
    this.schedule(now);
  }

  private schedule(now: number): void {
    const at = this.core.deadline();
    if (at === NEVER || at >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    // Timers of Node have a resolution of a millisecond: a deadline may be met so much later, which docs/protocol.md allows.
    this.timer = setTimeout(() => {
      this.timerAt = NEVER;
      this.turn();
    }, Math.max(Math.ceil((at - now) / MS), 1));
  }

  /** Sends what may leave. */
  private pump(now: number): void {
    while (this.transport.ready()) {
      const s = this.core.pollSend(now);
      if (!s) return;
      if (this.cfg.loss > 0 && this.random.float() < this.cfg.loss) this.dropsByLoss++;
      else this.transport.send(s.bytes, s.to);
    }
  }

  /** Accepts what waits for room, in order. */
  private serve(o: Out, now: number): void {
    if (o.waiting.length === 0) return;
    for (let w = o.waiting.peek(); w; w = o.waiting.peek()) {
      if (!w.done) {
        if (!o.sender.offer(now, w.topic, w.kind, w.payload)) break;
        w.done = true;
        w.resolve();
      }
      o.waiting.shift();
      if (o.sender.next - o.sender.sent > PUMP_AT) this.pump(now);
    }
    this.core.flush(now);
    this.pump(now);
  }

  private out(topic: Topic): Out {
    let o = this.routes.get(topic.name);
    if (!o) {
      const rule = this.cfg.topics.find((t) => matches(t.pattern, topic.name));
      const protocol = (rule?.protocol ?? this.cfg.protocol) === "NACK" ? 2 : 1;
      const lane = laneOfTopic(topic.name, this.cfg.lanes);
      const key = `${protocol}/${lane}`;
      o = this.outs.get(key);
      if (!o) {
        o = { sender: this.core.open(clock(), protocol, lane), waiting: new Deque() };
        this.outs.set(key, o);
        this.wake();
      }
      if (this.routes.size >= 16384) this.routes.clear();
      this.routes.set(topic.name, o);
    }
    return o;
  }

  private check(payload: Uint8Array): void {
    if (this.stopped) throw new BlazeError("ErrClosed", "the channel has stopped");
    if (payload.length > this.cfg.maxMessageSize) {
      throw new BlazeError("ErrTooLarge", `a message of ${payload.length} bytes; maxMessageSize is ${this.cfg.maxMessageSize}`);
    }
  }

  /** Accepts a message; false: there is no room. */
  offer(topic: Topic, kind: number, payload: Uint8Array): boolean {
    this.check(payload);
    const o = this.out(topic);
    if (o.waiting.length > 0) return false; // those who wait came first
    const now = clock();
    let ok = o.sender.offer(now, topic, kind, payload);
    if (!ok) {
      this.pump(now);
      ok = o.sender.offer(now, topic, kind, payload);
    } else if (o.sender.next - o.sender.sent > PUMP_AT) {
      this.pump(now);
    }
    this.wake();
    return ok;
  }

  /** Accepts a message as soon as there is room for it. */
  send(topic: Topic, kind: number, payload: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(aborted(signal, "Broadcast", ""));
    if (this.offer(topic, kind, payload)) return Promise.resolve();
    const o = this.out(topic);
    return new Promise((resolve, reject) => {
      const w: Waiting = { topic, kind, payload: Uint8Array.from(payload), resolve, reject, done: false };
      if (signal) {
        const stop = (): void => {
          if (w.done) return;
          w.done = true;
          const l = o.sender.limiting();
          reject(aborted(signal, "Broadcast", l ? `; it waits for receiver ${memberID(l.member)} at ${l.endpoint}, ${l.behind} datagrams behind` : ""));
        };
        signal.addEventListener("abort", stop, { once: true });
        w.resolve = () => (signal.removeEventListener("abort", stop), resolve());
      }
      o.waiting.push(w);
    });
  }

  receivers(topic: Topic): number {
    return this.out(topic).sender.joined;
  }

  async waitReceivers(topic: Topic, n: number, signal?: AbortSignal): Promise<void> {
    const o = this.out(topic);
    while (o.sender.joined < n) {
      if (this.stopped) throw new BlazeError("ErrClosed", "the channel has stopped");
      if (signal?.aborted) throw aborted(signal, "WaitReceivers", `: ${o.sender.joined} of ${n}`);
      await new Promise<void>((resolve) => {
        this.receiverWaits.push(resolve);
        signal?.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** Messages that were accepted and have not left. */
  unsent(): number {
    let n = 0;
    for (const o of this.outs.values()) n += o.sender.unsentMessages();
    return n;
  }

  /** Waits until all that was accepted is received, at most linger ms, and takes leave. It returns what is wrong. */
  async stop(): Promise<string> {
    const until = clock() + this.cfg.linger * MS;
    const settled = (): boolean => [...this.outs.values()].every((o) => o.waiting.length === 0 && o.sender.acknowledged());
    while (!settled() && clock() < until) {
      this.turn();
      await new Promise((r) => setTimeout(r, 1));
    }
    let wrong = "";
    if (!settled()) {
      const n = this.unsent();
      wrong = n > 0 ? `${n} messages were accepted and not sent` : "not every receiver has reported all messages as received";
    }
    this.core.close();
    this.pump(clock());
    this.stopped = true;
    clearTimeout(this.timer);
    if (this.immediate) clearImmediate(this.immediate);
    await this.transport.close();
    for (const o of this.outs.values()) {
      for (let w = o.waiting.shift(); w; w = o.waiting.shift()) {
        if (!w.done) w.reject(new BlazeError("ErrClosed", "the channel has stopped"));
      }
    }
    for (const w of this.receiverWaits.splice(0)) w();
    return wrong;
  }
}

function aborted(signal: AbortSignal, what: string, detail: string): Error {
  return new BlazeError("ErrTimeout", `${what} was given up${detail}`, { cause: signal.reason });
}
