import { hostname } from "node:os";
import { BlazeError, unsupported } from "./errors.js";
import { validatePattern } from "./topic.js";
import { DEFAULT_URI, parseURI } from "./uri.js";

/** The protocols of topics. This member sends BESTEFFORT and NACK, and receives FEC and HYBRID as those two. */
export const Protocol = {
  BESTEFFORT: "BESTEFFORT", NACK: "NACK", FEC: "FEC", HYBRID: "HYBRID", TOTEM: "TOTEM",
} as const;
export type Protocol = (typeof Protocol)[keyof typeof Protocol];

/** What a full subscription queue leads to. */
export const SlowConsumer = { PAUSE: "PAUSE", DROP: "DROP", DISCONNECT: "DISCONNECT" } as const;
export type SlowConsumer = (typeof SlowConsumer)[keyof typeof SlowConsumer];

/** Whether a sender waits for its slowest receiver. */
export const FlowControl = { SLOWEST: "SLOWEST", FASTEST: "FASTEST" } as const;
export type FlowControl = (typeof FlowControl)[keyof typeof FlowControl];

/** Whether the pace follows what arrives, where much does not. */
export const CongestionControl = { AUTO: "AUTO", OFF: "OFF" } as const;
export type CongestionControl = (typeof CongestionControl)[keyof typeof CongestionControl];

/** Which protocol topics have that match a pattern: the first match wins. */
export interface TopicConfig {
  pattern: string;
  protocol: Protocol;
}

/** Where messages about rare things go. */
export interface Logger {
  info(text: string): void;
  warn(text: string): void;
}

/** The settings of a channel, as docs/api.md has them. Times are milliseconds, sizes bytes. */
export interface Config {
  /** The member's name; default: host name and process id. */
  name?: string;
  /** Members receive each other only within one cluster; default "default". */
  cluster?: string;
  /** Default udp://239.255.66.76:6676, on loopback. */
  broadcastURI?: string;
  /** Default NACK. */
  protocol?: Protocol;
  /** At most 1,024. */
  topics?: TopicConfig[];
  /** Topics are hashed over so many streams, 1 to 64; default 1. */
  lanes?: number;
  /** Bytes of a stream kept for repair, and for reordering; 64 KiB to 1 GiB, default 8 MiB. */
  window?: number;
  /** 1 byte to half of window; default 1 MiB. */
  maxMessageSize?: number;
  /** Messages, 1 to 1,048,576; default 4,096. */
  subscriptionQueue?: number;
  /** Default PAUSE. */
  slowConsumer?: SlowConsumer;
  /** Default SLOWEST. */
  flowControl?: FlowControl;
  /** Default AUTO. */
  congestionControl?: CongestionControl;
  /** Own broadcasts are not received. */
  noSelfDelivery?: boolean;
  /** A silent receiver goes after the larger of it and 1,000; default 100. */
  failureTimeout?: number;
  /** What is missing for so long, although its sender is there, is lost; 100 to 600,000, default 5,000. */
  repairTimeout?: number;
  /** Streams that are received at a time; 1 to 65,536, default 4,096. */
  maxStreams?: number;
  /** How long stop waits; 1 to 600,000, default 1,000. */
  linger?: number;
  /** Default: warnings to console.warn. */
  logger?: Logger;
  /** For tests: the share of datagrams that are dropped, of those sent and of those received; 0 to below 1. */
  loss?: number;
  /** For tests: what is drawn by chance follows from it. */
  seed?: number;
}

/** A config with its defaults filled in. */
export type FullConfig = Required<Config>;

/** Settings of docs/api.md that this member lacks, and what value means that they are not asked for. */
const lacking: Record<string, unknown[]> = {
  safe: [false], fec: [], totem: [], slowestFor: [0], maxRate: [0], heartbeatInterval: [], heartbeatRate: [],
  lockLease: [], expectedMembers: [0], masterWeight: [0], dataDir: [""], sync: [], stateLimit: [],
  observer: [false], idle: [], invoker: [false], engineCPUs: [],
};

const known: (keyof Config)[] = [
  "name", "cluster", "broadcastURI", "protocol", "topics", "lanes", "window", "maxMessageSize", "subscriptionQueue", "slowConsumer",
  "flowControl", "congestionControl", "noSelfDelivery", "failureTimeout", "repairTimeout", "maxStreams", "linger", "logger", "loss", "seed",
];

function bad(field: string, value: unknown, want: string): BlazeError {
  return new BlazeError("ErrConfig", `${field} = ${JSON.stringify(value)}: ${want}`);
}

function inRange(field: string, v: number, low: number, high: number, whole = true): void {
  if (typeof v !== "number" || !(v >= low && v <= high) || (whole && !Number.isInteger(v))) {
    throw bad(field, v, `must be ${low} to ${high}`);
  }
}

function oneOf(field: string, v: string, all: Record<string, string>): void {
  if (!Object.values(all).includes(v)) throw bad(field, v, `must be ${Object.values(all).join(", ")}`);
}

/** Throws unless this member speaks a protocol. */
export function mustSpeak(field: string, p: Protocol): void {
  oneOf(field, p, Protocol);
  if (p !== Protocol.NACK && p !== Protocol.BESTEFFORT) throw unsupported(`Protocol.${p}`);
}

/** Fills in the defaults, and throws an ErrConfig that names the field, the value and what is allowed. */
export function complete(c: Config): FullConfig {
  for (const [k, v] of Object.entries(c)) {
    if (v === undefined || (known as string[]).includes(k)) continue;
    const off = lacking[k];
    if (off === undefined) throw bad(k, v, `there is no such setting; there are ${known.join(", ")}`);
    if (!off.includes(v)) throw unsupported(`the setting ${k}`);
  }
  const window = c.window ?? Math.max(8 << 20, 2 * Math.min(c.maxMessageSize ?? 0, 512 << 20));
  const f: FullConfig = {
    name: c.name || `${hostname()}-${process.pid}`, cluster: c.cluster || "default", broadcastURI: c.broadcastURI || DEFAULT_URI,
    protocol: c.protocol ?? Protocol.NACK, topics: (c.topics ?? []).map((t) => ({ ...t })), lanes: c.lanes ?? 1, window,
    maxMessageSize: c.maxMessageSize ?? Math.min(1 << 20, window >> 1), subscriptionQueue: c.subscriptionQueue ?? 4096,
    slowConsumer: c.slowConsumer ?? SlowConsumer.PAUSE, flowControl: c.flowControl ?? FlowControl.SLOWEST,
    congestionControl: c.congestionControl ?? CongestionControl.AUTO,
    noSelfDelivery: c.noSelfDelivery ?? false, failureTimeout: c.failureTimeout ?? 100, repairTimeout: c.repairTimeout ?? 5000,
    maxStreams: c.maxStreams ?? 4096, linger: c.linger ?? 1000, logger: c.logger ?? quiet, loss: c.loss ?? 0,
    seed: c.seed ?? Math.floor(Math.random() * 0x7fff_ffff),
  };
  parseURI(f.broadcastURI);
  mustSpeak("protocol", f.protocol);
  if (f.topics.length > 1024) throw bad("topics", f.topics.length, "must be at most 1024");
  f.topics.forEach((t, i) => {
    validatePattern(t.pattern);
    mustSpeak(`topics[${i}].protocol`, t.protocol);
  });
  inRange("lanes", f.lanes, 1, 64);
  inRange("window", f.window, 64 << 10, 1 << 30);
  if (!Number.isInteger(f.maxMessageSize) || f.maxMessageSize < 1 || f.maxMessageSize > f.window / 2) {
    throw bad("maxMessageSize", f.maxMessageSize, `must be 1 to ${f.window / 2} bytes, half of window (${f.window}), which may be raised`);
  }
  inRange("subscriptionQueue", f.subscriptionQueue, 1, 1 << 20);
  oneOf("slowConsumer", f.slowConsumer, SlowConsumer);
  oneOf("flowControl", f.flowControl, FlowControl);
  oneOf("congestionControl", f.congestionControl, CongestionControl);
  inRange("failureTimeout", f.failureTimeout, 1, 600_000, false);
  inRange("repairTimeout", f.repairTimeout, 100, 600_000, false);
  inRange("maxStreams", f.maxStreams, 1, 65536);
  inRange("linger", f.linger, 1, 600_000, false);
  inRange("loss", f.loss, 0, 0.99, false);
  return f;
}

const quiet: Logger = { info: () => undefined, warn: (text) => console.warn(text) };
