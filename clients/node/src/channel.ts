import { type Config, type FullConfig, type Protocol, complete } from "./config.js";
import type { CoreEvent, Delivery as CoreDelivery, EventKind, Loss as CoreLoss } from "./core/core.js";
import { protocolNames } from "./core/protocol.js";
import type { Topic } from "./core/sender.js";
import { Engine } from "./engine.js";
import { BlazeError, unsupported } from "./errors.js";
import { type MemberID, memberID } from "./ids.js";
import { Message, mustBeMessage } from "./message.js";
import { Publisher } from "./publisher.js";
import { type Delivery, type Owner, type SubscribeOptions, Kind, Subscription, messageOf } from "./subscription.js";
import { foreignWildcards, validatePattern, validateTopic } from "./topic.js";
import { laneOfTopic, laneOf, protocolOf } from "./wire/types.js";

export type State = "constructed" | "initialized" | "started" | "stopped";

/** What becomes of a stream that is received, or of a receiver of what is sent. */
export interface StreamEvent {
  kind: EventKind;
  from: MemberID;
  /** "address:port". */
  addr: string;
  protocol: Protocol | string;
  stream: number;
}

/** What a channel counts since its last start. */
export interface Stats {
  [counter: string]: number | Record<string, number>;
}

/** A member of topics: it publishes and subscribes. */
export class Channel {
  private cfg: FullConfig;
  private status: State = "constructed";
  private running: Engine | undefined;
  private lastID: MemberID | undefined;
  private readonly subscriptions = new Set<Subscription<unknown>>();
  private readonly matched = new Map<string, Subscription<unknown>[]>();
  private readonly listeners = new Set<(e: StreamEvent) => void>();
  private readonly streams = new Map<string, CoreEvent>();
  private readonly members = new Map<string, MemberID>();
  private readonly counts: Record<string, number> = {};
  private readonly owner: Owner;
  private warned = false;
  private last: Stats = {};
  private work: Promise<void> = Promise.resolve();

  /** Judges the config; no socket is opened. It throws an ErrConfig or an ErrUnsupported. */
  constructor(cfg: Config = {}) {
    this.cfg = complete(cfg);
    const channel = this;
    this.owner = {
      get slowConsumer() { return channel.cfg.slowConsumer; },
      resume: () => this.running?.wake(),
      closed: (s) => {
        this.subscriptions.delete(s);
        this.changed();
      },
      member: (id) => this.member(id),
      count: (what) => (this.counts[what] = (this.counts[what] ?? 0) + 1),
    };
  }

  get state(): State { return this.status; }
  /** The member id of this start; undefined before the first. */
  get id(): MemberID | undefined { return this.lastID; }
  /** The settings, with their defaults filled in. */
  config(): FullConfig { return { ...this.cfg }; }
  /** Replaces the settings; in state constructed only. */
  setConfig(cfg: Config): void {
    if (this.status !== "constructed") throw new BlazeError("ErrState", `SetConfig in state ${this.status}; it needs constructed`);
    this.cfg = complete(cfg);
  }

  /** Judges whether a start is possible. This member opens its sockets at start. */
  async init(): Promise<void> {
    if (this.status === "constructed") this.status = "initialized";
  }

  /** Opens the sockets and joins. A start that fails changes nothing. */
  start(): Promise<void> {
    return this.next(async () => {
      if (this.status === "started") return;
      this.streams.clear();
      this.running = await Engine.start(this.cfg, {
        deliver: (d) => this.deliver(d), lost: (l) => this.lost(l), event: (e) => this.event(e),
      });
      this.lastID = memberID(this.running.self);
      this.status = "started";
      this.changed();
      if (!/[?&]interface=./.test(this.cfg.broadcastURI) && this.cfg.broadcastURI.startsWith("udp")) {
        this.cfg.logger.info("blaze: no interface is named, so nothing leaves this host: add ?interface=NAME to the broadcastURI");
      }
    });
  }

  /**
   * Waits until what was accepted is sent and reported received, at most config.linger, and takes leave. What was not is
   * in its error; the channel has stopped then all the same.
   */
  stop(): Promise<void> {
    return this.next(async () => {
      const e = this.running;
      if (this.status === "initialized") this.status = "stopped";
      if (!e) return;
      const wrong = await e.stop();
      this.last = this.collect(e);
      this.running = undefined;
      this.status = "stopped";
      if (wrong) throw new BlazeError("ErrTimeout", `stop: ${wrong}`);
    });
  }

  /** Stops, and forgets what init made. */
  async shutdown(): Promise<void> {
    try {
      await this.stop();
    } finally {
      this.status = "constructed";
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /** Transitions come one after the other. */
  private next(f: () => Promise<void>): Promise<void> {
    const r = this.work.then(f);
    this.work = r.catch(() => undefined);
    return r;
  }

  /** @internal */
  engine(): Engine {
    if (!this.running) throw new BlazeError("ErrState", `the channel is ${this.status}; it has to be started`);
    return this.running;
  }

  /** Sends a message on a topic. It resolves when the message has been accepted; under back pressure it waits. */
  async broadcast(topic: string, m: Message, options?: { signal?: AbortSignal }): Promise<void> {
    validateTopic(topic);
    mustBeMessage(m);
    await this.engine().send(topicOf(topic), Kind.MESSAGE, m.marshal(), options?.signal);
  }

  /** A publisher of raw payloads on a topic. */
  publisher(topic: string): Publisher {
    validateTopic(topic);
    return new Publisher(this, topicOf(topic));
  }

  /** Receives messages on topics that match a pattern: read it with `for await`, or give a handler. */
  subscribe(pattern: string, handler?: (m: Message) => void | Promise<void>, options?: SubscribeOptions): Subscription<Message>;
  subscribe(pattern: string, options?: SubscribeOptions): Subscription<Message>;
  subscribe(pattern: string, a?: ((m: Message) => void | Promise<void>) | SubscribeOptions, b?: SubscribeOptions): Subscription<Message> {
    return this.add(pattern, (d) => messageOf(d, this.owner.member), a, b);
  }

  /** As subscribe, with payloads as they came. */
  subscribePayload(pattern: string, handler?: (d: Delivery) => void | Promise<void>, options?: SubscribeOptions): Subscription<Delivery>;
  subscribePayload(pattern: string, options?: SubscribeOptions): Subscription<Delivery>;
  subscribePayload(pattern: string, a?: ((d: Delivery) => void | Promise<void>) | SubscribeOptions, b?: SubscribeOptions): Subscription<Delivery> {
    return this.add(pattern, (d) => ({
      payload: d.payload, kind: d.kind, topic: d.topic, from: this.member(d.from), sequence: d.sequence,
    }), a, b);
  }

  private add<T>(
    pattern: string, convert: (d: CoreDelivery) => T, a: ((m: T) => void | Promise<void>) | SubscribeOptions | undefined, b?: SubscribeOptions,
  ): Subscription<T> {
    validatePattern(pattern);
    if (!this.warned && foreignWildcards(pattern)) {
      this.warned = true;
      this.cfg.logger.warn(`blaze: pattern ${JSON.stringify(pattern)} has #, + or /, which are ordinary characters in topics; separate elements with '.'; '*' matches one element, '>' at the end all below`);
    }
    const handler = typeof a === "function" ? a : undefined;
    const o = (typeof a === "function" ? b : a) ?? {};
    const s = new Subscription<T>(pattern, this.owner, o.queue ?? this.cfg.subscriptionQueue, convert, handler, o.onLoss);
    this.subscriptions.add(s as Subscription<unknown>);
    this.changed();
    return s;
  }

  /** Reports streams that are received, and receivers of what is sent: first what is there, then what changes. */
  onStream(handler: (e: StreamEvent) => void): () => void {
    this.listeners.add(handler);
    for (const e of this.streams.values()) handler(this.streamEvent(e));
    return () => this.listeners.delete(handler);
  }

  /** Counters of this start, or of the last one. */
  stats(): Stats {
    return this.running ? this.collect(this.running) : this.last;
  }

  private collect(e: Engine): Stats {
    const { drops, unsupported: frames, ...rest } = e.core.counters;
    return {
      ...rest, streams: e.core.streams.size, sent: e.transport.sent, sendErrors: e.transport.sendErrors, room: e.transport.room,
      datagram: e.transport.datagram, lossDrops: e.dropsByLoss, unsent: e.unsent(), drops: { ...drops, ...this.counts },
      unsupported: { ...frames },
    };
  }

  private changed(): void {
    this.matched.clear();
    if (this.running) this.running.core.self = !this.cfg.noSelfDelivery && this.subscriptions.size > 0;
  }

  private deliver(d: CoreDelivery): boolean {
    let list = this.matched.get(d.topic);
    if (!list) {
      list = [...this.subscriptions].filter((s) => s.wants(d.topic));
      if (this.matched.size >= 16384) this.matched.clear();
      this.matched.set(d.topic, list);
    }
    for (const s of list) if (s.full()) return false;
    for (const s of list) s.take(d);
    return true;
  }

  private lost(l: CoreLoss): void {
    for (const s of [...this.subscriptions]) {
      // The topics of what is lost are not known: it goes to every subscription that could have matched.
      const exact = !/[*>]/.test(s.pattern);
      if (!exact || laneOfTopic(s.pattern, this.cfg.lanes) === laneOf(l.stream) || l.first === 0n) s.lost(l);
    }
  }

  private event(e: CoreEvent): void {
    const key = `${e.kind.startsWith("Receiver")}${e.from}${e.stream}`;
    if (e.kind === "StreamStarted" || e.kind === "ReceiverJoined") this.streams.set(key, e);
    if (e.kind === "StreamLeft" || e.kind === "ReceiverLeft" || e.kind === "ReceiverEvicted") this.streams.delete(key);
    for (const h of [...this.listeners]) h(this.streamEvent(e));
  }

  private streamEvent(e: CoreEvent): StreamEvent {
    return { kind: e.kind, from: this.member(e.from), addr: e.at, protocol: protocolNames[protocolOf(e.stream)] ?? "", stream: e.stream };
  }

  private member(id: string): MemberID {
    let m = this.members.get(id);
    if (!m) {
      m = memberID(id);
      if (this.members.size >= 4096) this.members.clear();
      this.members.set(id, m);
    }
    return m;
  }
}

const topics = new Map<string, Topic>();

function topicOf(name: string): Topic {
  let t = topics.get(name);
  if (!t) {
    t = { name, bytes: Buffer.from(name, "utf8") };
    if (topics.size >= 16384) topics.clear();
    topics.set(name, t);
  }
  return t;
}

/** Members, groups, queues and requests: this member has none of them yet. */
export function newGroupChannel(): never {
  throw unsupported("GroupChannel");
}

/** Maps, locks and services: this member has none of them yet. */
export function newClusterChannel(): never {
  throw unsupported("ClusterChannel");
}
