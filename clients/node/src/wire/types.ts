// What a datagram holds. Numbers with 64 bits are bigint, all others are number.

/** A member's 16 bytes as a string of 16 characters, one for each byte: comparable and a key of a Map. */
export type Id = string;

/** The 16 bytes of an id. */
export function idBytes(id: Id): Buffer {
  return Buffer.from(id, "latin1");
}

/** The id of 16 bytes. */
export function idOf(bytes: Uint8Array): Id {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** Why a datagram is dropped (docs/wire.md, "What a receiver does"). */
export type Fault = "malformed" | "range" | "version" | "checksum";

/** Which of a member's protocols a stream belongs to: the upper 8 bits of the stream. */
export const enum ProtocolNumber {
  BestEffort = 1,
  NACK = 2,
  FEC = 3,
  Hybrid = 4,
  Totem = 5,
  Groups = 6,
  ClusterRing = 7,
}

/** The protocol of a stream. */
export const protocolOf = (stream: number): number => stream >>> 24;
/** The lane of a stream. */
export const laneOf = (stream: number): number => stream & 0xffff;
/** The stream of a protocol and a lane. */
export const streamOf = (protocol: number, lane: number): number => ((protocol << 24) | lane) >>> 0;

/** Field numbers of the frames in a Datagram. */
export const enum FrameKind {
  Data = 12,
  Nak = 13,
  Heartbeat = 14,
  Status = 15,
  Start = 16,
  Leave = 17,
  Repair = 24,
  SymbolNak = 25,
}

/** One message, or one part of a message, of a Data. Its payload is Data.bytes from start to end. */
export interface Packed {
  topic: string;
  kind: number;
  start: number;
  end: number;
}

/** Messages of the header's stream, or one part of one. */
export interface Data {
  kind: FrameKind.Data;
  number: bigint;
  firstMessage: bigint;
  /** It has one element in messages, a part of message firstMessage. */
  fragment: boolean;
  offset: number;
  size: number;
  messages: Packed[];
  bytes: Uint8Array;
}

/** Datagrams first, first + 1, … , count of them. */
export interface Gap {
  first: bigint;
  count: number;
}

/** Asks the origin of a stream for datagrams: gaps for the first time, again once more. */
export interface Nak {
  kind: FrameKind.Nak;
  origin: Id;
  originIncarnation: number;
  gaps: Gap[];
  again: Gap[];
}

/** What a sender holds. Optional fields that are absent are undefined. */
export interface Heartbeat {
  kind: FrameKind.Heartbeat;
  first: bigint;
  last: bigint;
  firstMessage: bigint;
  nextMessage: bigint;
  /** ns of the sender's clock. */
  sentAt: bigint;
  /** ns; 0: not known. */
  roundTrip: number;
  receivers: number;
  wantStatus?: boolean;
  /** µs. */
  pause?: number;
  evicted?: boolean;
  /** bytes. */
  every?: number;
  /** ns: the round trip that half of the receivers keep. */
  usualTrip?: number;
}

/** How far one receiver is. Optional fields that are absent are undefined. */
export interface Status {
  kind: FrameKind.Status;
  origin: Id;
  originIncarnation: number;
  next: bigint;
  highest: bigint;
  limit: bigint;
  room: number;
  echo: bigint;
  held: number;
  missed: bigint;
  gone: bigint;
  pause?: number;
  arrived?: bigint;
  clock?: bigint;
  every?: number;
  noGroup?: boolean;
}

/** Where a stream begins. */
export interface Start {
  kind: FrameKind.Start;
  first: bigint;
  firstMessage: bigint;
  /** ns since the stream was opened. */
  age: bigint;
  lanes: number;
}

/** The transmitter stops; as the sender of the header's stream too where last is there. */
export interface Leave {
  kind: FrameKind.Leave;
  last?: bigint;
  nextMessage?: bigint;
}

/** A frame that this member judges and does not act on: number is its field in a Datagram. */
export interface Other {
  kind: 0;
  number: number;
  /** The generated message. */
  message: object;
}

export type Frame = Data | Nak | Heartbeat | Status | Start | Leave | Other;

/** The fields in front of the frames, but for version and CRC. */
export interface Header {
  cluster: bigint;
  transmitter: Id;
  incarnation: number;
  stream: number;
}

/** One decoded datagram. */
export interface Datagram extends Header {
  /** It was laid out as this package writes it. */
  canonical: boolean;
  frames: Frame[];
}

export const HEADER_LEN = 47;
export const START_LEN = 35;
export const MAX_FRAMES = 16;
export const MAX_MESSAGES = 1024;
export const MAX_TOPIC = 255;
export const MAX_KIND = 127;
export const MAX_GAPS = 1024;
export const MAX64 = 0xffff_ffff_ffff_ffffn;

/** FNV-1a, 64 bits, of a cluster's name as UTF-8 (draft-eastlake-fnv, section 2). */
export function clusterHash(name: string): bigint {
  let h = 14695981039346656037n;
  for (const byte of Buffer.from(name, "utf8")) h = ((h ^ BigInt(byte)) * 1099511628211n) & MAX64;
  return h;
}

/** FNV-1a, 32 bits, of bytes. */
export function fnv32(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h >>> 0;
}

/** The lane that a topic is hashed to. */
export function laneOfTopic(topic: string, lanes: number): number {
  return lanes <= 1 ? 0 : fnv32(Buffer.from(topic, "utf8")) % lanes;
}
