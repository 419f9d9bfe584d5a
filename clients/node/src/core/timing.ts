// Time in a core is a number of ns on a monotonic clock, from 1. It is an argument of every call.

export const US = 1e3;
export const MS = 1e6;
export const SECOND = 1e9;

/** A deadline that does not come. */
export const NEVER = Infinity;

/** Something with deadlines: a few timers, each with a number below count. */
export abstract class Timed {
  /** The earliest deadline; NEVER: there is none. */
  at = NEVER;
  protected readonly timers: Float64Array;

  /** clock is told of deadlines that are earlier than all others here. */
  constructor(count: number, private readonly clock: { arm(at: number): void }) {
    this.timers = new Float64Array(count).fill(NEVER);
  }

  protected arm(t: number, at: number): void {
    this.timers[t] = at;
    if (at < this.at) {
      this.at = at;
      this.clock.arm(at);
    }
  }

  /** Fires the timers that are due. One that is armed meanwhile fires the next time. */
  tick(now: number): void {
    const late = now - this.at;
    const due = Float64Array.from(this.timers);
    for (let t = 0; t < due.length; t++) {
      if (due[t]! <= now && this.timers[t] === due[t]) {
        this.timers[t] = NEVER;
        this.expire(now, t, due[t]!, late);
      }
    }
    this.at = Math.min(...this.timers);
  }

  /** Timer t, armed for at, has fired; late is by how much the first of those that fire now is. */
  protected abstract expire(now: number, t: number, at: number, late: number): void;
}

/** Random numbers from a seed, so that a run can be repeated: xorshift128 of 32-bit words (Marsaglia, 2003). */
export class Random {
  private x: number;
  private y: number;
  private z = 521288629;
  private w = 88675123;

  constructor(seed: number) {
    this.x = (seed ^ 123456789) >>> 0 || 1;
    this.y = (Math.imul(seed, 0x9e3779b1) ^ 362436069) >>> 0 || 1;
    for (let i = 0; i < 16; i++) this.next();
  }

  private next(): number {
    const t = this.x ^ (this.x << 11);
    this.x = this.y;
    this.y = this.z;
    this.z = this.w;
    this.w = (this.w ^ (this.w >>> 19) ^ t ^ (t >>> 8)) >>> 0;
    return this.w;
  }

  /** From 0 to below 1. */
  float(): number {
    return this.next() / 0x1_0000_0000;
  }

  /** An integer from 0 to below n. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }
}

export const RTT_INITIAL = 1 * MS; // until something was measured
export const RTT_MIN = 20 * US;
export const RTT_MAX = 1 * SECOND; // bounds what a forged echo can do

/** A round trip, smoothed as RFC 6298 has it (section 2, alpha 1/8 and beta 1/4). */
export class RoundTrip {
  smooth = 0; // 0: not measured yet
  shortest = 0;
  lately = 0; // the shortest of the last 8 to 16 samples
  private low = 0;
  private samples = 0;
  private variation = 0;

  sample(d: number): void {
    d = Math.min(Math.max(d, RTT_MIN / 2), RTT_MAX);
    if (this.shortest === 0 || d < this.shortest) this.shortest = d;
    this.lately = Math.min(this.lately || d, d);
    this.low = Math.min(this.low || d, d);
    if (++this.samples === 8) {
      this.lately = this.low;
      this.low = this.samples = 0;
    }
    if (this.smooth === 0) {
      this.smooth = d;
      this.variation = d / 2;
      return;
    }
    // What stood still answers late, which does not measure the network.
    d = Math.min(d, 4 * Math.max(this.smooth, RTT_MIN));
    this.variation += (Math.abs(this.smooth - d) - this.variation) / 4;
    this.smooth += (d - this.smooth) / 8;
  }

  value(fallback: number): number {
    return this.smooth === 0 ? fallback : Math.max(this.smooth, RTT_MIN);
  }

  /** How long to wait for an answer before asking again: RFC 6298's RTO with a granularity for local networks. */
  timeout(fallback: number): number {
    const s = this.value(fallback);
    return Math.max(s + 4 * this.variation, 2 * s) + RTT_MIN;
  }
}

/** A token bucket that is refilled with time. */
export class Bucket {
  private last = 0;

  constructor(private tokens: number) {}

  /** Takes a token, where stay others have to remain; otherwise it returns when the next one comes. 0: taken. */
  take(now: number, perSecond: number, depth: number, stay = 0): number {
    this.tokens = Math.min(depth, this.tokens + (perSecond * (now - this.last)) / SECOND);
    this.last = now;
    if (this.tokens < 1 + stay) return now + Math.floor(((1 + stay - this.tokens) / perSecond) * SECOND) + 1;
    this.tokens--;
    return 0;
  }
}

const TENTH = 100 * MS;

/** Counts over about the last second, in tenths. */
export class Meter {
  private readonly tenth = new Float64Array(10);
  private sum = 0;
  private i = 0;

  constructor(private at = 0) {}

  add(now: number, n: number): void {
    this.advance(now);
    this.tenth[this.i]! += n;
    this.sum += n;
  }

  private advance(now: number): void {
    if (now - this.at >= 10 * TENTH) {
      this.tenth.fill(0);
      this.sum = 0;
      this.at = now;
      return;
    }
    while (now - this.at >= TENTH) {
      this.at += TENTH;
      this.i = (this.i + 1) % 10;
      this.sum -= this.tenth[this.i]!;
      this.tenth[this.i] = 0;
    }
  }

  perSecond(now: number): number {
    this.advance(now);
    return this.sum;
  }

  /** The rate of about the last 200 ms, or of the last second if that is more. */
  rising(now: number): number {
    this.advance(now);
    return Math.max(this.sum, 5 * (this.tenth[this.i]! + this.tenth[(this.i + 9) % 10]!));
  }
}

/** The largest number of receivers with which NAKs go by unicast, at once. */
export const FEW_RECEIVERS = 3;

const BACKOFF_FACTOR = 4; // K of RFC 5401

/** The wait between noticing a gap and asking for it (RFC 5401, section 5.2); 0 with few receivers. */
export function backoff(random: Random, groupRTT: number, receivers: number): number {
  if (receivers <= FEW_RECEIVERS) return 0;
  const longest = BACKOFF_FACTOR * groupRTT;
  const lambda = Math.log(receivers) + 1;
  const e = Math.exp(lambda) - 1;
  const x = random.float() * (lambda / longest) + lambda / (longest * e);
  return Math.floor((longest / lambda) * Math.log(x * e * (longest / lambda)));
}

/** How long a receiver waits for a repair that another one asked for: (K + 2) round trips (RFC 5401, NACK_HOLDOFF). */
export function holdOff(groupRTT: number): number {
  return (BACKOFF_FACTOR + 2) * groupRTT;
}
