// What the halves of the core share. A core is a single-threaded state machine: datagrams and time go in, datagrams and
// messages come out. It does no I/O and reads no clock.
import type { Id } from "../wire/types.js";
import type { Random } from "./timing.js";

/** Where a datagram comes from or goes to: "address:port", as the transport writes it. */
export type Endpoint = string;

/** The group's address. */
export const GROUP: Endpoint = "";

/** One message, lent for the call. */
export interface Delivery {
  from: Id;
  stream: number;
  sequence: bigint;
  kind: number;
  topic: string;
  payload: Uint8Array;
}

/** Why messages are gone for good, by the names of docs/api.md. */
export type LossReason =
  | "LossUnrepaired" | "LossSenderGone" | "LossRetention" | "LossReset" | "LossSlowConsumer" | "LossMalformed" | "LossRefused"
  | "LossTimeout";

/** Messages first to last of a stream will not come. Both are 0 where the stream is refused. */
export interface Loss {
  from: Id;
  stream: number;
  first: bigint;
  last: bigint;
  reason: LossReason;
}

/** What happens rarely, by the names of docs/api.md. */
export type EventKind =
  | "StreamStarted" | "StreamSilent" | "StreamResumed" | "StreamLeft" | "StreamRefused"
  | "ReceiverJoined" | "ReceiverLeft" | "ReceiverEvicted";

export interface CoreEvent {
  kind: EventKind;
  from: Id;
  at: Endpoint;
  stream: number;
}

/** Where messages go. */
export interface Sink {
  /** Takes one message. False: it cannot be taken now, and is offered again in a later deliver. */
  deliver(d: Delivery): boolean;
  lost(l: Loss): void;
  event(e: CoreEvent): void;
}

/** What a core is made of. Times are ns. */
export interface CoreConfig {
  self: Id;
  incarnation: number;
  cluster: bigint;
  /** Largest UDP payload, bytes. */
  datagram: number;
  /** Bytes of each stream's retransmit and reorder window. */
  window: number;
  maxMessageSize: number;
  /** A receiver that lacks something goes after so long a silence. */
  eviction: number;
  /** What is asked for in vain for so long is given up. */
  repairTimeout: number;
  /** The receive buffer that the host really gave, bytes; 0: not known. */
  room: number;
  lanes: number;
  maxStreams: number;
  /** Own messages go to the sink too. */
  selfDelivery: boolean;
  /** A stream never waits for its receivers. */
  fastest: boolean;
  /** The pace does not follow what arrives. */
  freePace: boolean;
  random: Random;
}

/** What a core counts. */
export class Counters {
  datagramsReceived = 0;
  dataReceived = 0;
  delivered = 0;
  deliveredBytes = 0;
  lost = 0;
  missed = 0;
  repaired = 0;
  gone = 0;
  naksSent = 0;
  naksReceived = 0;
  naksSuppressed = 0;
  naksHeldOff = 0;
  statusesSent = 0;
  statusesReceived = 0;
  heartbeatsSent = 0;
  heartbeatsReceived = 0;
  messages = 0;
  datagrams = 0;
  repairs = 0;
  fragmented = 0;
  backPressure = 0;
  blocked = 0;
  evictions = 0;
  pauses = 0;
  lanesDiffer = 0;
  /** Frames that this member knows and does not act on, by name. */
  unsupported: Record<string, number> = {};
  /** Datagrams and frames that were dropped, by reason. */
  drops: Record<string, number> = {};

  drop(why: string): false {
    this.drops[why] = (this.drops[why] ?? 0) + 1;
    return false;
  }
}

/** The most datagrams that one stream's window holds. */
export function windowDatagrams(window: number, datagram: number): number {
  return Math.min(Math.max(Math.floor(window / datagram), 16), 1 << 20);
}

/** What a datagram takes of a socket buffer beyond its length. */
export const OVERHEAD = 256;
/** What a datagram of n bytes takes of a receiver's socket buffer. */
export const cost = (n: number): number => n + OVERHEAD;

/** Bytes of socket buffer that a host is assumed to have: Linux's default. */
export const DEFAULT_ROOM = 208 << 10;
/** Between two heartbeats of an idle stream, ns, */
export const BEAT_MAX = 250e6;
/** and of one that has been idle for long, where all receivers know of it. */
export const BEAT_REST = 1e9;
/** As long a pause between two reports as is believed, ns. */
export const LONGEST_PAUSE = 30e9;
/** With up to so many receivers every quick heartbeat asks for reports. */
export const ASK_ALL = 4;
/** A receiver may be silent for so many halves of the pause that it gave. */
export const PAUSE_HALVES = 7;
