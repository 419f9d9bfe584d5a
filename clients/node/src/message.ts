import type { MemberID } from "./ids.js";
import { BlazeError } from "./errors.js";
import { decodeMessage, encodeMessage } from "./message_codec.js";
import { Value, type ValueLike } from "./value.js";

/** How many messages may lie inside each other, the outermost included. */
export const MAX_NESTING = 32;

/** A protobuf message as google.protobuf.Any has it. */
export interface Any {
  typeUrl: string;
  value: Uint8Array;
}

export type Body =
  | { case: undefined } | { case: "text"; value: string } | { case: "bytes"; value: Uint8Array } | { case: "object"; value: Any };

/** Where a received message came from. */
export interface Received {
  topic: string;
  from: MemberID;
  sequence: bigint;
}

/**
 * A map from string keys to typed values, which may have a body besides: a text, bytes, or a protobuf message. It can be
 * sent when its keys are not empty, its keys and texts are well formed, and it nests no deeper than MAX_NESTING.
 */
export class Message {
  private entries: [string, Value][] = []; // in key order, no key twice
  /** @internal */
  body: Body = { case: undefined };
  /** The encoding of a JmsHeader, passed on as it is. @internal */
  header: Uint8Array | undefined;
  /** @internal */
  received: Received | undefined;

  /** A message whose body is s. */
  static text(s: string): Message { return new Message().setText(s); }
  /** A message whose body is b itself, not a copy. */
  static bytes(b: Uint8Array): Message { return new Message().setBytes(b); }
  /** A message whose body is a protobuf message in its encoding. */
  static object(typeUrl: string, value: Uint8Array): Message { return new Message().setObject(typeUrl, value); }
  /** A message with these entries. */
  static of(entries: Record<string, ValueLike>): Message {
    const m = new Message();
    for (const [k, v] of Object.entries(entries)) m.set(k, v);
    return m;
  }

  /** The body where that is a text. */
  text(): string | undefined { return this.body.case === "text" ? this.body.value : undefined; }
  setText(s: string): this { this.body = { case: "text", value: s }; return this; }
  /** The body where that is bytes. */
  bytes(): Uint8Array | undefined { return this.body.case === "bytes" ? this.body.value : undefined; }
  setBytes(b: Uint8Array): this { this.body = { case: "bytes", value: b }; return this; }
  /** The body where that is a protobuf message: its type and its encoding. */
  object(): Any | undefined { return this.body.case === "object" ? this.body.value : undefined; }
  setObject(typeUrl: string, value: Uint8Array): this { this.body = { case: "object", value: { typeUrl, value } }; return this; }

  /** Gives key a value, in place of an earlier one. */
  set(key: string, v: ValueLike): this {
    const [i, found] = this.find(key);
    if (found) this.entries[i]![1] = Value.of(v);
    else this.entries.splice(i, 0, [key, Value.of(v)]);
    return this;
  }
  get(key: string): Value | undefined {
    const [i, found] = this.find(key);
    return found ? this.entries[i]![1] : undefined;
  }
  delete(key: string): void {
    const [i, found] = this.find(key);
    if (found) this.entries.splice(i, 1);
  }
  /** The number of entries; the body does not count. */
  get length(): number { return this.entries.length; }
  /** The entries in key order, which is that of the keys' UTF-8. */
  *all(): IterableIterator<[string, Value]> { yield* this.entries.map(([k, v]) => [k, v] as [string, Value]); }
  [Symbol.iterator](): IterableIterator<[string, Value]> { return this.all(); }

  /** A deep copy. */
  clone(): Message {
    const m = new Message();
    m.entries = this.entries.map(([k, v]) => [k, v.clone()]);
    m.body = this.body.case === "bytes" ? { case: "bytes", value: Uint8Array.from(this.body.value) } : { ...this.body };
    m.header = this.header && Uint8Array.from(this.header);
    m.received = this.received;
    return m;
  }

  /** Reports whether both have the same entries and the same body. Where they came from does not matter. */
  equal(o: Message): boolean {
    if (this.entries.length !== o.entries.length || !sameBody(this.body, o.body)) return false;
    if (Buffer.compare(this.header ?? empty, o.header ?? empty) !== 0 || !this.header !== !o.header) return false;
    return this.entries.every(([k, v], i) => k === o.entries[i]![0] && v.equal(o.entries[i]![1]));
  }

  /** The encoding: always the same bytes for the same message. It throws an ErrMalformed. */
  marshal(): Buffer { return encodeMessage(this); }
  /** The message that b encodes. It throws an ErrMalformed. */
  static unmarshal(b: Uint8Array): Message { return decodeMessage(b); }

  /** The topic that it was received on; empty on a message that was made here. */
  get topic(): string { return this.received?.topic ?? ""; }
  /** The member that sent it; undefined on a message that was made here. */
  get from(): MemberID | undefined { return this.received?.from; }
  /** Its number in its stream, from 1; 0 on a message that was made here. */
  get sequence(): bigint { return this.received?.sequence ?? 0n; }

  /** For people to read. */
  toString(): string {
    const list = this.entries.map(([k, v]) => `${k}:${v.kind === "string" ? JSON.stringify(v.text()) : v.toString()}`);
    const b = this.body;
    const body =
      b.case === "text" ? JSON.stringify(b.value) : b.case === "bytes" ? Buffer.from(b.value).toString("hex") : b.case === "object" ? b.value.typeUrl : "";
    return list.length === 0 && body !== "" ? body : `{${list.join(" ")}}${body && " " + body}`;
  }

  /** Puts the entries of a decoder in order; of a key that came twice the last one counts. @internal */
  settle(entries: [string, Value][]): void {
    let rising = true;
    for (let i = 1; i < entries.length && rising; i++) rising = compareKeys(entries[i - 1]![0], entries[i]![0]) < 0;
    this.entries = rising ? entries : [...new Map(entries)].sort((a, b) => compareKeys(a[0], b[0]));
  }

  private find(key: string): [number, boolean] {
    const n = this.entries.length;
    if (n === 0 || compareKeys(this.entries[n - 1]![0], key) < 0) return [n, false]; // keys mostly come in order
    let lo = 0;
    let hi = n;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (compareKeys(this.entries[mid]![0], key) < 0) lo = mid + 1;
      else hi = mid;
    }
    return [lo, lo < n && this.entries[lo]![0] === key];
  }
}

const empty = new Uint8Array(0);

function sameBody(a: Body, b: Body): boolean {
  if (a.case !== b.case) return false;
  if (a.case === "text") return a.value === (b as typeof a).value;
  if (a.case === "bytes") return Buffer.compare(a.value, (b as typeof a).value) === 0;
  if (a.case === "object") {
    const o = (b as typeof a).value;
    return a.value.typeUrl === o.typeUrl && Buffer.compare(a.value.value, o.value) === 0;
  }
  return true;
}

/** Compares keys as their UTF-8 compares. Strings compare by 16-bit units, which differ above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x !== y) {
      if (x >= 0xd800 && x <= 0xdfff) x += 0x10000;
      if (y >= 0xd800 && y <= 0xdfff) y += 0x10000;
      return x - y;
    }
  }
  return a.length - b.length;
}

/** Throws unless m is a Message. */
export function mustBeMessage(m: unknown): asserts m is Message {
  if (!(m instanceof Message)) throw new BlazeError("ErrArgument", "it is no Message");
}
