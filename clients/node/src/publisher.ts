import type { Channel } from "./channel.js";
import { BlazeError, backPressure } from "./errors.js";
import type { Topic } from "./core/sender.js";

/** Sends on one topic. */
export class Publisher {
  private closed = false;

  /** @internal */
  constructor(private readonly channel: Channel, private readonly to: Topic) {}

  get topic(): string {
    return this.to.name;
  }

  /**
   * Accepts a payload, which is copied, and never waits. It throws an ErrBackPressure when the window is full: nothing has
   * changed then.
   */
  offer(payload: Uint8Array): void {
    if (!this.tryOffer(payload)) throw backPressure;
  }

  /** As offer, and false where that throws an ErrBackPressure. */
  tryOffer(payload: Uint8Array): boolean {
    this.open();
    return this.channel.engine().offer(this.to, 0, payload);
  }

  /** Accepts a payload, as soon as there is room for it. */
  async send(payload: Uint8Array, options?: { signal?: AbortSignal }): Promise<void> {
    this.open();
    await this.channel.engine().send(this.to, 0, payload, options?.signal);
  }

  /** Known receivers of the stream, from their reports. */
  receivers(): number {
    this.open();
    return this.channel.engine().receivers(this.to);
  }

  /** Waits until the stream has n receivers or more. */
  async waitReceivers(n: number, options?: { signal?: AbortSignal }): Promise<void> {
    this.open();
    await this.channel.engine().waitReceivers(this.to, n, options?.signal);
  }

  /** What was accepted is still sent. */
  close(): void {
    this.closed = true;
  }

  private open(): void {
    if (this.closed) throw new BlazeError("ErrClosed", "the publisher is closed");
  }
}
