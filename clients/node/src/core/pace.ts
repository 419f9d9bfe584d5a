// The pace of a sender: where much of what it sends does not arrive, it follows what arrives
// (docs/decisions/congestion-control.md). Rates are bytes a second.
import type { Status } from "../wire/index.js";
import { MS, SECOND } from "./timing.js";

const ARRIVES = 0.7; // the pace is free while this part of what was sent arrives
const LOSSY_BYTES = 64 << 10; // of a report that counts
const SAMPLE_MIN = 10 * MS;
const SAMPLE_MAX = 2 * SECOND;
export const ROUND_MIN = 20 * MS;
const ROUND_MAX = 500 * MS;
const CRUISE_ROUNDS = 7;
const STILL_ROUNDS = 3;
const GROWS = 1.15; // of a probe: so much more arrives,
const FITS = 0.05; // and so much more may be lost
const LOST_MOST = 0.2;
export const UNBOUND_FOR = SECOND;
const HELD_OFF = 5 * SECOND;
const OTHERS_FOR = SECOND;
const RATE_MIN = 125_000;
const BURST = 16 << 10; // bytes that may leave at once,
const TICK = MS; // or what the rate gives in this time
const PEAK_OF = 8;

const enum Phase { Open, Still, Drain, Cruise, Probe, Startup }

const gains = [0, 0.5, 0.75, 1, 1.25, 2];

/** Bounds what a stream puts on the wire, new data and repairs alike. rate is 0 while there is no bound. */
export class Pace {
  rate = 0;
  next = 0; // when the next datagram may leave
  holds = 0; // times that it held something back
  sent = 0; // bytes to the group
  asked = 0; // when the receiver that binds it was last asked for a report

  ready(now: number): boolean {
    return this.rate === 0 || now >= this.next;
  }

  spend(now: number, n: number): void {
    if (this.rate === 0) return;
    const burst = Math.max((BURST / this.rate) * SECOND, TICK);
    this.next = Math.max(this.next, now - burst) + (n / this.rate) * SECOND;
  }
}

/** What is known of a stream when a report comes. */
export interface Sent {
  data: number; // bytes of all datagrams up to the highest one that the receiver knows of
  trip: number; // the receiver's round trip
  ours: number; // datagrams that the stream has sent
  theirs: number; // and those with data that came of other streams
}

/** What a sender makes of one receiver's reports of what arrived. */
export class Arrivals {
  direct = 0; // bytes that went to this receiver alone
  bound = 0; // when the pace last held something back

  private phase: Phase = Phase.Open;
  private since = 0; // of the phase
  private round = 0;
  private rates: number[] = [];
  private rate = 0; // the largest of rates
  private before = 0; // rate when the probe began
  private lost = 0; // what is lost at the low pace, too
  private flood = 0; // what was lost when the pace was bound
  private after = 0; // no bound before
  private suspect = 0; // when too little seemed to arrive, once
  private ours = 0; // datagrams that had been sent, and had come, when the pace was bound
  private theirs = 0;
  // As of the last report:
  private clock = 0n;
  private arrived = 0n;
  private at = 0;
  private sent = 0;
  private data = 0;
  private holds = 0;

  get open(): boolean {
    return this.phase === Phase.Open;
  }

  /** The pace that this receiver allows; 0: any. */
  allows(): number {
    return this.open ? 0 : Math.max((gains[this.phase]! * this.rate) / (1 - this.lost), RATE_MIN);
  }

  /** Takes in a report; rested: most of the time since the one before passed with nothing sent. True: it is to come again soon. */
  report(now: number, st: Status, pace: Pace, s: Sent, rested: boolean): boolean {
    if (st.clock === undefined || st.arrived === undefined) return false;
    const sent = pace.sent + this.direct;
    const took = Number(st.clock - this.clock);
    const came = Number(st.arrived - this.arrived);
    const first = this.clock === 0n || took < 0 || came < 0 || now - this.at > SAMPLE_MAX || rested;
    if (st.noGroup) this.free(); // what goes to the group does not come there at any pace
    if (!first && !st.noGroup && took < SAMPLE_MIN) return false;
    const left = sent - this.sent;
    const fresh = s.data - this.data;
    const held = pace.holds !== this.holds;
    const began = this.at;
    let lost = left > 0 ? 1 - Math.min(came / left, 1) : 0;
    const counts = !first && !st.noGroup;
    const rate = counts ? (came / took) * SECOND : 0;
    if (counts && this.open && fresh >= LOSSY_BYTES && came < ARRIVES * fresh && now >= this.after) {
      // The receiver compared what it knew to have been sent with what had arrived, at one moment.
      if (this.suspect === 0) {
        this.suspect = now; // what it had heard of may still come
        return true;
      }
      if (now - this.suspect < s.trip) return false;
      lost = 1 - came / fresh;
      this.rates = [rate];
      this.flood = lost;
      this.lost = this.round = 0;
      this.bound = now;
      this.ours = s.ours;
      this.theirs = s.theirs;
      this.enter(now, Phase.Still);
    }
    this.clock = st.clock;
    this.arrived = st.arrived;
    this.at = now;
    this.sent = sent;
    this.data = s.data;
    this.holds = pace.holds;
    this.suspect = 0;
    if (counts && !this.open) {
      this.sample(rate, held);
      this.advance(now, lost, held, began, s);
    }
    return false;
  }

  free(): void {
    this.phase = Phase.Open;
    this.rate = 0;
    this.rates = [];
  }

  private enter(now: number, p: Phase): void {
    this.phase = p;
    this.since = now;
    this.before = this.rate;
  }

  /** Where the pace held nothing back, or made it low itself, a low rate shows nothing. */
  private sample(rate: number, held: boolean): void {
    if (rate < this.rate && (!held || this.phase === Phase.Drain || this.phase === Phase.Still)) return;
    this.rates = [...this.rates.slice(1 - PEAK_OF), rate];
    this.rate = Math.max(...this.rates, RATE_MIN);
  }

  /** Ends a phase when its round is over. */
  private advance(now: number, lost: number, held: boolean, began: number, s: Sent): void {
    if (held) this.bound = now;
    if (now - this.bound >= UNBOUND_FOR) return this.free();
    const length = Math.min(Math.max(2 * s.trip, ROUND_MIN), ROUND_MAX);
    if (began < this.since + length / 2 || now - this.since < length) return; // what was sent before the phase is in the sample
    switch (this.phase) {
      case Phase.Still:
        if (lost >= this.flood * 0.8) { // the loss is not this pace's fault, as it seems
          if (s.theirs - this.theirs >= (s.ours - this.ours) / 2 && now - this.since < OTHERS_FOR) return; // it may be theirs
          if (++this.round < STILL_ROUNDS) {
            this.since = now; // a member that did not run for a moment looks like that, too
            return;
          }
          this.after = now + HELD_OFF;
          return this.free();
        }
        this.lost = lost > FITS ? Math.min(lost, LOST_MOST) : 0;
        break;
      case Phase.Drain:
        this.lost = Math.min(this.lost, lost);
        break;
      case Phase.Cruise:
        if (++this.round < CRUISE_ROUNDS) this.since = now;
        else this.enter(now, Phase.Probe);
        return;
      default:
        if (this.rate >= this.before * GROWS && lost <= this.lost + FITS) return this.enter(now, Phase.Startup);
        if (this.phase === Phase.Startup || lost > this.lost + FITS) {
          this.round = 0;
          return this.enter(now, Phase.Drain);
        }
    }
    this.round = 0;
    this.enter(now, Phase.Cruise);
  }
}
