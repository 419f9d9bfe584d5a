// The encoding of a Message: blaze.wire.v1.Message of wire/blaze.proto, by hand, so that its bytes are the same in every
// language (fields in order, entries in key order) and what is refused is the same too.
import { isUtf8 } from "node:buffer";
import { BlazeError } from "./errors.js";
import { MAX_NESTING, Message } from "./message.js";
import { Value } from "./value.js";
import { Malformed, Scanner } from "./wire/screen.js";

function malformed(text: string): BlazeError {
  return new BlazeError("ErrMalformed", `malformed message: ${text}`);
}

// Writing. Pieces are collected from the front; lengths are summed on the way back.

class Out {
  private b = Buffer.allocUnsafe(256);
  private n = 0;

  private grow(more: number): void {
    if (this.n + more <= this.b.length) return;
    const c = Buffer.allocUnsafe(Math.max(2 * this.b.length, this.n + more));
    this.b.copy(c, 0, 0, this.n);
    this.b = c;
  }

  varint(v: number | bigint): void {
    this.grow(10);
    if (typeof v === "bigint") {
      for (; v >= 0x80n; v >>= 7n) this.b[this.n++] = Number(v & 0x7fn) | 0x80;
      this.b[this.n++] = Number(v);
      return;
    }
    for (; v >= 0x80; v = Math.floor(v / 128)) this.b[this.n++] = (v % 128) | 0x80;
    this.b[this.n++] = v;
  }

  tag(field: number, type: number): void {
    this.varint((field << 3) | type);
  }

  bytes(field: number, b: Uint8Array): void {
    this.tag(field, 2);
    this.varint(b.length);
    this.raw(b);
  }

  raw(b: Uint8Array): void {
    this.grow(b.length);
    this.b.set(b, this.n);
    this.n += b.length;
  }

  text(field: number, s: string): void {
    this.bytes(field, Buffer.from(s, "utf8"));
  }

  float(v: number, size: 4 | 8): void {
    this.grow(8);
    if (size === 4) this.b.writeFloatLE(v, this.n);
    else this.b.writeDoubleLE(v, this.n);
    this.n += size;
  }

  done(): Buffer {
    return this.b.subarray(0, this.n) as Buffer;
  }
}

export function encodeMessage(m: Message): Buffer {
  return encode(m, MAX_NESTING);
}

function encode(m: Message, depth: number): Buffer {
  if (depth === 0) throw malformed(`it nests deeper than ${MAX_NESTING}`);
  const out = new Out();
  for (const [key, v] of m) {
    if (key === "") throw malformed("a key is empty");
    if (!key.isWellFormed()) throw malformed(`key ${JSON.stringify(key)} has an unpaired surrogate`);
    const entry = new Out();
    entry.text(1, key);
    entry.bytes(2, encodeValue(v, key, depth));
    out.bytes(1, entry.done());
  }
  const b = m.body;
  if (b.case === "text") {
    if (!b.value.isWellFormed()) throw malformed("its text has an unpaired surrogate");
    out.text(2, b.value);
  } else if (b.case === "bytes") {
    out.bytes(3, b.value);
  } else if (b.case === "object") {
    if (!b.value.typeUrl.isWellFormed()) throw malformed("its type has an unpaired surrogate");
    const any = new Out();
    if (b.value.typeUrl !== "") any.text(1, b.value.typeUrl);
    if (b.value.value.length > 0) any.bytes(2, b.value.value);
    out.bytes(4, any.done());
  }
  if (m.header) out.bytes(8, m.header);
  return out.done();
}

const zigzag = (n: number): number => (n < 0 ? -2 * n - 1 : 2 * n);
const zigzag64 = (n: bigint): bigint => (n < 0n ? -2n * n - 1n : 2n * n);

function encodeValue(v: Value, key: string, depth: number): Buffer {
  const out = new Out();
  switch (v.kind) {
    case "byte": out.tag(1, 0); out.varint(zigzag(v.byte())); break;
    case "bytes": out.bytes(2, v.bytes()); break;
    case "char": out.tag(3, 0); out.varint(v.char()); break;
    case "bool": out.tag(4, 0); out.varint(v.bool() ? 1 : 0); break;
    case "int16": out.tag(5, 0); out.varint(zigzag(v.int16())); break;
    case "int32": out.tag(6, 0); out.varint(zigzag(v.int32())); break;
    case "int64": out.tag(7, 0); out.varint(zigzag64(v.int64())); break;
    case "float32": out.tag(8, 5); out.float(v.float32(), 4); break;
    case "float64": out.tag(9, 1); out.float(v.float64(), 8); break;
    case "string":
      if (!v.text().isWellFormed()) throw malformed(`the text of key ${JSON.stringify(key)} has an unpaired surrogate`);
      out.text(10, v.text());
      break;
    case "map": out.bytes(11, encode(v.map(), depth - 1)); break;
    case "none": break;
  }
  return out.done();
}

// Reading.

export function decodeMessage(b: Uint8Array): Message {
  // One copy, which all bytes of the message share: what it was decoded from may change.
  const copy = Buffer.from(b);
  const d = new Decoded();
  try {
    parse(d, copy, 0, copy.length, MAX_NESTING);
  } catch (e) {
    if (e instanceof Malformed) throw malformed("not a protobuf encoding of it");
    throw e;
  }
  return settle(d);
}

/** A message that is being decoded: a message that comes twice is merged. */
class Decoded {
  readonly m = new Message();
  readonly entries: [string, Value | Decoded][] = [];
}

function settle(d: Decoded): Message {
  d.m.settle(d.entries.map(([k, v]) => [k, v instanceof Decoded ? Value.map(settle(v)) : v]));
  return d.m;
}

function textOf(b: Buffer, start: number, end: number): string {
  if (!isUtf8(b.subarray(start, end))) throw malformed("a key or text is not valid UTF-8");
  return b.toString("utf8", start, end);
}

function parse(d: Decoded, b: Buffer, pos: number, end: number, depth: number): void {
  if (depth === 0) throw malformed(`it nests deeper than ${MAX_NESTING}`);
  const s = new Scanner(b, pos, end);
  while (s.next()) {
    if (s.type !== 2) continue;
    switch (s.field) {
      case 1: parseEntry(d, b, s.start, s.pos, depth); break;
      case 2: d.m.setText(textOf(b, s.start, s.pos)); break;
      case 3: d.m.setBytes(b.subarray(s.start, s.pos)); break;
      case 4: parseObject(d.m, b, s.start, s.pos); break;
      case 8: {
        const part = b.subarray(s.start, s.pos);
        d.m.header = d.m.header ? Buffer.concat([d.m.header, part]) : part;
        break;
      }
    }
  }
}

function parseObject(m: Message, b: Buffer, pos: number, end: number): void {
  const any = m.object() ?? { typeUrl: "", value: new Uint8Array(0) };
  const s = new Scanner(b, pos, end);
  while (s.next()) {
    if (s.type !== 2) continue;
    if (s.field === 1) any.typeUrl = textOf(b, s.start, s.pos);
    if (s.field === 2) any.value = b.subarray(s.start, s.pos);
  }
  m.setObject(any.typeUrl, any.value);
}

function parseEntry(d: Decoded, b: Buffer, pos: number, end: number, depth: number): void {
  let key = "";
  let value: Value | Decoded = Value.none;
  const s = new Scanner(b, pos, end);
  while (s.next()) {
    if (s.type !== 2) continue;
    if (s.field === 1) key = textOf(b, s.start, s.pos);
    if (s.field === 2) value = parseValue(value, b, s.start, s.pos, depth);
  }
  if (key === "") throw malformed("a key is empty");
  d.entries.push([key, value]);
}

function parseValue(v: Value | Decoded, b: Buffer, pos: number, end: number, depth: number): Value | Decoded {
  const s = new Scanner(b, pos, end);
  while (s.next()) {
    switch (s.type) {
      case 0: v = varintValue(s.field, bits(b, s.start, s.pos)) ?? v; break;
      case 1: if (s.field === 9) v = Value.float64(b.readDoubleLE(s.start)); break;
      case 5: if (s.field === 8) v = Value.float32(b.readFloatLE(s.start)); break;
      case 2:
        if (s.field === 2) v = Value.bytes(b.subarray(s.start, s.pos));
        if (s.field === 10) v = Value.string(textOf(b, s.start, s.pos));
        if (s.field === 11) {
          if (!(v instanceof Decoded)) v = new Decoded();
          parse(v, b, s.start, s.pos, depth - 1);
        }
        break;
    }
  }
  return v;
}

/** The 64 bits of the varint at b[start..end). */
function bits(b: Buffer, start: number, end: number): bigint {
  let v = 0n;
  for (let i = end - 1; i >= start; i--) v = (v << 7n) | BigInt(b[i]! & 0x7f);
  return v & 0xffff_ffff_ffff_ffffn;
}

const unzigzag = (v: bigint): bigint => (v >> 1n) ^ -(v & 1n);

function varintValue(field: number, v: bigint): Value | undefined {
  // A 32-bit field whose varint is longer is cut, as in protobuf.
  const small = Number(unzigzag(v & 0xffff_ffffn));
  switch (field) {
    case 1:
      if (small < -128 || small > 127) throw malformed("an integer is out of its kind's range");
      return Value.byte(small);
    case 3: {
      const c = Number(v & 0xffff_ffffn);
      if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) throw malformed("a character is not a Unicode code point");
      return Value.char(c);
    }
    case 4: return Value.bool(v !== 0n);
    case 5:
      if (small < -32768 || small > 32767) throw malformed("an integer is out of its kind's range");
      return Value.int16(small);
    case 6: return Value.int32(small);
    case 7: return Value.int64(unzigzag(v));
  }
  return undefined;
}
