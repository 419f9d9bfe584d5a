// What protobuf's generated readers do not check. A field whose wire type is not the declared one is an unknown field
// (docs/wire.md), and generated readers would take it for the declared one. So a message is screened first: only fields
// that are known, of the declared type and well formed are passed on.
import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { isUtf8 } from "node:buffer";

/** A message is not well formed. It is thrown often, so it is made once and has no stack of interest. */
export class Malformed extends Error {
  constructor() {
    super("not a protobuf encoding of this message");
  }
}
const malformed = new Malformed();

const MAX_FIELD = 0x1fff_ffff;
const MAX_GROUPS = 32;

/** Walks over the fields of one message. */
export class Scanner {
  field = 0;
  type = 0;
  /** The value of a varint, as far as a double holds it. */
  value = 0;
  /** Where the current field's tag, its value, and the next field begin. */
  tag = 0;
  start = 0;
  pos: number;

  constructor(readonly b: Uint8Array, pos = 0, readonly end = b.length) {
    this.pos = pos;
  }

  /** Moves to the next field; false at the end. It throws a Malformed. */
  next(): boolean {
    if (this.pos >= this.end) return false;
    this.tag = this.pos;
    this.readTag();
    this.consume(0);
    return true;
  }

  private readTag(): void {
    const tag = this.varint();
    this.type = tag % 8;
    this.field = Math.floor(tag / 8);
    if (this.field < 1 || this.field > MAX_FIELD) throw malformed;
  }

  private consume(depth: number): void {
    this.start = this.pos;
    switch (this.type) {
      case 0: this.value = this.varint(); return;
      case 1: return this.skip(8);
      case 2: {
        const n = this.varint();
        this.start = this.pos;
        return this.skip(n);
      }
      case 3: return this.group(depth);
      case 5: return this.skip(4);
    }
    throw malformed; // the end of no group, or a wire type that does not exist
  }

  private group(depth: number): void {
    if (depth >= MAX_GROUPS) throw malformed;
    const field = this.field;
    for (;;) {
      if (this.pos >= this.end) throw malformed;
      this.readTag();
      if (this.type === 4) {
        if (this.field !== field) throw malformed;
        this.type = 3;
        return;
      }
      this.consume(depth + 1);
    }
  }

  private skip(n: number): void {
    if (n > this.end - this.pos) throw malformed;
    this.pos += n;
  }

  private varint(): number {
    let v = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      if (this.pos >= this.end) throw malformed;
      const x = this.b[this.pos++]!;
      if (i === 9 && x > 1) throw malformed;
      v += (x & 0x7f) * scale;
      if (x < 0x80) return v;
      scale *= 128;
    }
    throw malformed;
  }
}

function wireType(f: DescField): number {
  switch (f.fieldKind) {
    case "message":
    case "map":
      return 2;
    case "enum":
      return 0;
    case "list":
      if (f.listKind === "message") return 2;
      if (f.listKind === "enum") return 0;
      return scalarType(f.scalar);
    case "scalar":
      return scalarType(f.scalar);
  }
}

function scalarType(t: ScalarType): number {
  switch (t) {
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
    case ScalarType.FLOAT:
      return 5;
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
    case ScalarType.DOUBLE:
      return 1;
    case ScalarType.BYTES:
    case ScalarType.STRING:
      return 2;
    default:
      return 0;
  }
}

/** What screen needs to know of a field. */
interface Known {
  type: number;
  text: boolean;
  message: DescMessage | undefined;
  /** A second one is malformed, where protobuf would merge the two. */
  once: boolean;
}

const tables = new Map<DescMessage, Map<number, Known>>();

/** Messages whose singular messages may come once only. */
const once = new Set(["Hello", "ClusterMessage", "Transfer"]);

function tableOf(desc: DescMessage): Map<number, Known> {
  let t = tables.get(desc);
  if (!t) {
    t = new Map();
    for (const f of desc.fields) {
      const list = f.fieldKind === "list";
      t.set(f.number, {
        type: wireType(f),
        text: (f.fieldKind === "scalar" || (list && f.listKind === "scalar")) && f.scalar === ScalarType.STRING,
        message: f.fieldKind === "message" || (list && f.listKind === "message") ? f.message : undefined,
        once: f.fieldKind === "message" && once.has(desc.name),
      });
    }
    tables.set(desc, t);
  }
  return t;
}

/** The fields of b that desc knows, and nothing else, at every depth. It throws a Malformed. */
export function screen(b: Uint8Array, desc: DescMessage): Uint8Array {
  const out: Uint8Array[] = [];
  collect(b, 0, b.length, desc, out, 0);
  return Buffer.concat(out);
}

function collect(b: Uint8Array, pos: number, end: number, desc: DescMessage, out: Uint8Array[], depth: number): number {
  if (depth > 64) throw malformed;
  const table = tableOf(desc);
  const seen: number[] = [];
  let length = 0;
  const s = new Scanner(b, pos, end);
  while (s.next()) {
    const k = table.get(s.field);
    if (k === undefined || k.type !== s.type) continue;
    if (k.once) {
      if (seen.includes(s.field)) throw malformed;
      seen.push(s.field);
    }
    if (k.text && !isUtf8(b.subarray(s.start, s.pos))) throw malformed;
    if (k.message === undefined) {
      out.push(b.subarray(s.tag, s.pos));
      length += s.pos - s.tag;
      continue;
    }
    const at = out.length;
    out.push(b); // its tag and length come here
    const n = collect(b, s.start, s.pos, k.message, out, depth + 1);
    const head = varints((s.field << 3) | 2, n);
    out[at] = head;
    length += head.length + n;
  }
  return length;
}

function varints(...list: number[]): Uint8Array {
  const bytes: number[] = [];
  for (let n of list) {
    for (; n >= 0x80; n >>>= 7) bytes.push((n & 0x7f) | 0x80);
    bytes.push(n);
  }
  return Uint8Array.from(bytes);
}
