#!/usr/bin/env node
// npx @activeblaze/blaze sub|pub: receives or sends messages, with a record in JSON for each, a line each.
import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { BlazeError, Channel, Kind, Message, Protocol, type Config, type Delivery } from "./index.js";

const usage = `usage: blaze sub --topic PATTERN [options]
       blaze pub --topic TOPIC[,TOPIC…] [--text TEXT] [options]

  --uri URI        where to send and receive (default udp://239.255.66.76:6676, on loopback)
  --cluster NAME   the cluster (default "default")
  --topic T        the topic; of sub a pattern, in which * is one element and > all below
  --text TEXT      pub: send this text, once for each --count
  --count N        pub: messages to send (default 1); sub: end after so many (default: until a signal)
  --size S         pub: bytes of each message, 8 or more (default 64)
  --rate R         pub: messages a second (default 0: as fast as they are taken)
  --wait N         pub: wait for N receivers first (default 0)
  --typed          pub: typed messages with a text, instead of raw payloads
  --protocol P     NACK or BESTEFFORT (default NACK)
  --linger S       seconds that pub waits at the end until all is received (default 10)
  --loss P         for tests: the share of datagrams that are lost, each way
  --seed S         for tests: what is drawn by chance follows from it

Each message is a record: {"t":TOPIC,"n":NUMBER,"sha":FIRST 8 DIGITS OF SHA-256,"size":BYTES}, with its text where
that has no number. What is lost for good is
{"lost":{"count":N}}, and {"ready":true} says that a subscription is there, or that sending begins.`;

const { values: o, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    uri: { type: "string" }, cluster: { type: "string" }, topic: { type: "string" }, text: { type: "string" }, count: { type: "string" },
    size: { type: "string" }, rate: { type: "string" }, wait: { type: "string" }, typed: { type: "boolean" }, protocol: { type: "string" },
    linger: { type: "string" }, loss: { type: "string" }, seed: { type: "string" }, help: { type: "boolean", short: "h" },
    stats: { type: "boolean" },
  },
});

function number(name: "count" | "size" | "rate" | "wait" | "linger" | "loss" | "seed", fallback: number): number {
  const text = o[name];
  if (text === undefined) return fallback;
  const n = Number(text);
  if (!(n >= 0)) throw new BlazeError("ErrArgument", `--${name} ${text}: must be a number, 0 or more`);
  return n;
}

function config(): Config {
  return {
    broadcastURI: o.uri ?? "", cluster: o.cluster ?? "", protocol: (o.protocol ?? Protocol.NACK).toUpperCase() as Protocol,
    linger: number("linger", 10) * 1000 || 1, loss: number("loss", 0), ...(o.seed === undefined ? {} : { seed: number("seed", 0) }),
    noSelfDelivery: true,
  };
}

const out: string[] = [];

function print(record: object): void {
  out.push(JSON.stringify(record));
  if (out.length >= 256) flush();
  else if (out.length === 1) setImmediate(flush);
}

function flush(): void {
  if (out.length > 0) process.stdout.write(out.splice(0).join("\n") + "\n");
}

const sha = (b: Uint8Array): string => createHash("sha256").update(b).digest("hex").slice(0, 8);

/** The record of a payload: its first 8 bytes are its number. */
function record(topic: string, b: Uint8Array): object {
  const n = b.length >= 8 ? Buffer.from(b.buffer, b.byteOffset, 8).readBigUInt64BE() : 0n;
  return { t: topic, n: Number(n), sha: sha(b), size: b.length };
}

/** The record of a typed message: its text begins with the number, in 16 hexadecimal digits. */
function typedRecord(topic: string, text: string): object {
  const b = Buffer.from(text, "utf8");
  const numbered = /^[0-9a-f]{16}/.test(text);
  const n = numbered ? Number(BigInt("0x" + text.slice(0, 16))) : 0;
  return { t: topic, n, sha: sha(b), size: b.length, ...(numbered ? {} : { text }) };
}

const ended = new AbortController();
for (const s of ["SIGINT", "SIGTERM"] as const) process.once(s, () => ended.abort());

async function sub(): Promise<void> {
  const c = new Channel(config());
  const most = number("count", Infinity);
  let got = 0;
  let all!: () => void;
  const done = new Promise<void>((r) => {
    all = r;
    ended.signal.addEventListener("abort", () => r());
  });
  c.subscribePayload(o.topic!, (d: Delivery) => {
    if (d.kind === Kind.MESSAGE) {
      const m = Message.unmarshal(d.payload);
      const text = m.text();
      print(text === undefined ? { t: d.topic, message: m.toString() } : typedRecord(d.topic, text));
    } else {
      print(record(d.topic, d.payload));
    }
    if (++got >= most) all();
  }, { onLoss: (l) => print({ lost: { count: l.first === 0n ? 0 : Number(l.last - l.first) + 1, reason: l.reason } }) });
  await c.start();
  print({ ready: true });
  await done;
  if (o.stats) print({ stats: c.stats() });
  await c.shutdown();
}

async function pub(): Promise<void> {
  const c = new Channel(config());
  await c.start();
  const topics = o.topic!.split(",");
  const publishers = topics.map((t) => c.publisher(t));
  const count = number("count", 1);
  const size = Math.max(number("size", 64), 8);
  const rate = number("rate", 0);
  const signal = ended.signal;
  await Promise.all(publishers.map((p) => p.waitReceivers(number("wait", 0), { signal })));
  print({ ready: true });
  const began = performance.now();
  for (let n = 1; n <= count && !signal.aborted; n++) {
    const i = (n - 1) % topics.length;
    if (o.text !== undefined || o.typed) {
      const text = o.text ?? n.toString(16).padStart(16, "0") + "x".repeat(Math.max(size - 16, 0));
      await c.broadcast(topics[i]!, Message.text(text), { signal });
      print(typedRecord(topics[i]!, text));
    } else {
      const b = Buffer.alloc(size);
      b.writeBigUInt64BE(BigInt(n));
      for (let k = 8; k < size; k++) b[k] = (n * 31 + k) & 0xff;
      await publishers[i]!.send(b, { signal });
      print(record(topics[i]!, b));
    }
    if (rate > 0) {
      const late = began + (n * 1000) / rate - performance.now();
      if (late >= 1) await new Promise((r) => setTimeout(r, late));
    }
  }
  // Who comes at the end is waited for a little: without receivers there is nothing to wait for.
  const some = AbortSignal.any([signal, AbortSignal.timeout(2000)]);
  await publishers[0]!.waitReceivers(1, { signal: some }).catch(() => undefined);
  if (o.stats) print({ stats: c.stats() });
  await c.shutdown();
}

async function main(): Promise<void> {
  const command = positionals[0];
  if (o.help || (command !== "sub" && command !== "pub")) {
    console.log(usage);
    process.exitCode = o.help ? 0 : 2;
    return;
  }
  if (o.topic === undefined) throw new BlazeError("ErrArgument", "--topic is missing");
  await (command === "sub" ? sub() : pub());
}

main().catch((e: unknown) => {
  if (!(ended.signal.aborted && e instanceof BlazeError)) {
    console.error(e instanceof BlazeError ? e.message : e);
    process.exitCode = e instanceof BlazeError && (e.is("ErrConfig") || e.is("ErrArgument") || e.is("ErrTopic")) ? 2 : 1;
  }
}).finally(flush);
