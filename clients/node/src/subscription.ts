import type { Delivery as CoreDelivery, Loss as CoreLoss, LossReason } from "./core/core.js";
import type { SlowConsumer } from "./config.js";
import { Deque } from "./deque.js";
import { BlazeError } from "./errors.js";
import type { MemberID } from "./ids.js";
import { Message } from "./message.js";
import { matches } from "./topic.js";

/** What kind of payload a message has. Others are newer. */
export const Kind = { RAW: 0, MESSAGE: 1 } as const;

/** One message as it came, for who decodes by himself. */
export interface Delivery {
  payload: Uint8Array;
  /** Kind.RAW, Kind.MESSAGE (payload is its encoding), or one that is newer. */
  kind: number;
  topic: string;
  from: MemberID;
  /** The message's number in its stream, from 1. */
  sequence: bigint;
}

/** Messages first to last of a stream are gone for good. */
export interface Loss {
  from: MemberID;
  stream: number;
  first: bigint;
  last: bigint;
  reason: LossReason;
}

export interface SubscribeOptions {
  /** Is called with what is gone for good, in its place in the stream. */
  onLoss?: (loss: Loss) => void;
  /** Messages, instead of config.subscriptionQueue. */
  queue?: number;
}

type Item<T> = { message: T } | { loss: Loss };

/** What a subscription needs of its channel. */
export interface Owner {
  slowConsumer: SlowConsumer;
  /** The queue has room again. */
  resume(): void;
  closed(s: Subscription<unknown>): void;
  member(id: string): MemberID;
  count(what: string): void;
}

/**
 * Receives the messages of topics that match a pattern, in order within each stream. It is read with `for await`, or has a
 * handler. It survives stop and start.
 */
export class Subscription<T> implements AsyncIterable<T> {
  private readonly queue = new Deque<Item<T>>();
  private waiting: ((r: IteratorResult<T>) => void)[] = [];
  private ended = false;
  private running = false;
  private error: Error | undefined;
  private messages = 0;
  private finish!: () => void;
  /** Is resolved when the subscription has ended; err says why. */
  readonly done: Promise<void>;

  /** @internal */
  constructor(
    readonly pattern: string, private readonly owner: Owner, private readonly room: number, private readonly convert: (d: CoreDelivery) => T,
    private readonly handler: ((m: T) => void | Promise<void>) | undefined, private readonly onLoss: ((l: Loss) => void) | undefined,
  ) {
    this.done = new Promise((r) => (this.finish = r));
  }

  /** Why it has ended; undefined after close. */
  get err(): Error | undefined {
    return this.error;
  }

  /** @internal */
  wants(topic: string): boolean {
    return matches(this.pattern, topic);
  }

  /** Cannot take a message now, and the stream has to wait. @internal */
  full(): boolean {
    return this.messages >= this.room && this.owner.slowConsumer === "PAUSE" && !this.ended;
  }

  /** @internal */
  take(d: CoreDelivery): void {
    if (this.ended) return;
    if (this.messages >= this.room) {
      const loss = (): Item<T> => ({
        loss: { from: this.owner.member(d.from), stream: d.stream, first: d.sequence, last: d.sequence, reason: "LossSlowConsumer" },
      });
      this.owner.count("slow consumer");
      if (this.owner.slowConsumer === "DISCONNECT") {
        this.end(new BlazeError("ErrBackPressure", `the queue of the subscription to ${JSON.stringify(this.pattern)} is full`));
        return;
      }
      this.put(loss());
      return;
    }
    let message: T;
    try {
      message = this.convert(d);
    } catch {
      this.owner.count("malformed message");
      this.put({ loss: { from: this.owner.member(d.from), stream: d.stream, first: d.sequence, last: d.sequence, reason: "LossMalformed" } });
      return;
    }
    this.messages++;
    this.put({ message });
  }

  /** @internal */
  lost(l: CoreLoss): void {
    if (this.onLoss && !this.ended) this.put({ loss: { ...l, from: this.owner.member(l.from) } });
  }

  private put(item: Item<T>): void {
    if ("loss" in item) {
      if (!this.onLoss) return;
      if (this.queue.length === 0) {
        this.onLoss(item.loss);
        return;
      }
    } else if (this.waiting.length > 0) {
      this.messages--;
      this.waiting.shift()!({ value: item.message, done: false });
      return;
    }
    this.queue.push(item);
    if (this.handler && !this.running) {
      this.running = true;
      setImmediate(() => void this.run());
    }
  }

  /** The next message; losses in front of it are reported. */
  private pop(): { message: T } | undefined {
    for (;;) {
      const item = this.queue.shift();
      if (item === undefined) return undefined;
      if ("loss" in item) {
        this.onLoss?.(item.loss);
        continue;
      }
      if (--this.messages === this.room >> 1) this.owner.resume(); // not earlier, or each message would be a pause
      return item;
    }
  }

  /** Runs the handler, one call at a time. What it throws is the application's bug, and is not swallowed. */
  private async run(): Promise<void> {
    try {
      for (let item = this.pop(); item && !this.ended; item = this.pop()) {
        const r = this.handler!(item.message);
        if (r instanceof Promise) await r;
      }
    } finally {
      this.running = false;
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    if (this.handler) throw new BlazeError("ErrState", "the subscription has a handler");
    return {
      next: () => this.next(),
      return: async () => {
        this.close();
        return { value: undefined, done: true };
      },
    };
  }

  private next(): Promise<IteratorResult<T>> {
    const item = this.pop();
    if (item) return Promise.resolve({ value: item.message, done: false });
    if (this.ended) return this.error ? Promise.reject(this.error) : Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Ends the subscription. What is queued is dropped. */
  close(): void {
    this.queue.clear();
    this.messages = 0;
    this.end(undefined);
  }

  private end(error: Error | undefined): void {
    if (this.ended) return;
    this.ended = true;
    this.error = error;
    this.owner.closed(this as Subscription<unknown>);
    for (const w of this.waiting.splice(0)) w({ value: undefined, done: true });
    this.owner.resume();
    this.finish();
  }
}

/** The Message that a delivery holds: a raw payload is a message of bytes. */
export function messageOf(d: CoreDelivery, member: (id: string) => MemberID): Message {
  const m = d.kind === Kind.MESSAGE ? Message.unmarshal(d.payload) : Message.bytes(d.payload);
  m.received = { topic: d.topic, from: member(d.from), sequence: d.sequence };
  return m;
}
