import { BlazeError } from "./errors.js";
import { Message } from "./message.js";

/** What a Value holds. */
export type ValueKind =
  | "none" | "byte" | "bytes" | "char" | "bool" | "int16" | "int32" | "int64" | "float32" | "float64" | "string" | "map";

/** What Value.of takes. */
export type ValueLike = Value | boolean | number | bigint | string | Uint8Array | Message;

const INT64_MIN = -(1n << 63n);
const INT64_MAX = (1n << 63n) - 1n;

/** One typed value of a Message. The kinds are those of every other language; see docs/api.md. */
export class Value {
  private constructor(readonly kind: ValueKind, private readonly held: unknown) {}

  /** Holds nothing: a Value without a kind, or one of a kind of a later version. */
  static readonly none = new Value("none", undefined);

  /** An 8-bit integer, -128 to 127. */
  static byte(n: number): Value { return new Value("byte", integer(n, 8)); }
  /** The bytes themselves, not a copy. */
  static bytes(b: Uint8Array): Value { return new Value("bytes", b); }
  /** A Unicode code point, as a number or as a string of one; what is none becomes U+FFFD. */
  static char(c: number | string): Value {
    const n = typeof c === "string" ? oneChar(c) : c;
    const ok = Number.isInteger(n) && n >= 0 && n <= 0x10ffff && (n < 0xd800 || n > 0xdfff);
    return new Value("char", ok ? n : 0xfffd);
  }
  static bool(b: boolean): Value { return new Value("bool", b); }
  /** A 16-bit integer. */
  static int16(n: number): Value { return new Value("int16", integer(n, 16)); }
  /** A 32-bit integer. */
  static int32(n: number): Value { return new Value("int32", integer(n, 32)); }
  /** A 64-bit integer. */
  static int64(n: bigint | number): Value {
    const v = typeof n === "number" && Number.isSafeInteger(n) ? BigInt(n) : n;
    if (typeof v !== "bigint" || v < INT64_MIN || v > INT64_MAX) {
      throw new BlazeError("ErrKind", `${String(n)} is no 64-bit integer`);
    }
    return new Value("int64", v);
  }
  /** A 32-bit floating point number, rounded to one. */
  static float32(n: number): Value { return new Value("float32", Math.fround(n)); }
  /** A 64-bit floating point number. */
  static float64(n: number): Value { return new Value("float64", n); }
  /** A text, which must be well-formed for the message to be sent. */
  static string(s: string): Value { return new Value("string", s); }
  /** The message itself, not a copy. */
  static map(m: Message): Value { return new Value("map", m); }

  /**
   * The Value that holds x: a boolean, a string, bytes or a Message as what they are, a bigint as int64, and every
   * number as float64, which is what a number is. Say Value.int32 where an integer is meant. Anything else is ErrKind.
   */
  static of(x: ValueLike): Value {
    if (x instanceof Value) return x;
    if (x instanceof Message) return Value.map(x);
    if (x instanceof Uint8Array) return Value.bytes(x);
    switch (typeof x) {
      case "boolean": return Value.bool(x);
      case "number": return Value.float64(x);
      case "bigint": return Value.int64(x);
      case "string": return Value.string(x);
    }
    throw new BlazeError("ErrKind", `${x === null ? "null" : typeof x} has no kind of value`);
  }

  // The accessors widen where nothing can be lost, by kind and not by value: byte → int16 → int32 → int64,
  // char → int32 → int64, byte and int16 → float32 → float64, int32 → float64. Everything else is ErrKind.

  byte(): number { return this.get("byte") as number; }
  bytes(): Uint8Array { return this.get("bytes") as Uint8Array; }
  /** The code point. */
  char(): number { return this.get("char") as number; }
  bool(): boolean { return this.get("bool") as boolean; }
  int16(): number { return this.get("int16", "byte") as number; }
  int32(): number { return this.get("int32", "int16", "byte", "char") as number; }
  int64(): bigint {
    const v = this.get("int64", "int32", "int16", "byte", "char") as bigint | number;
    return typeof v === "bigint" ? v : BigInt(v);
  }
  float32(): number { return this.get("float32", "byte", "int16") as number; }
  float64(): number { return this.get("float64", "float32", "byte", "int16", "int32") as number; }
  text(): string { return this.get("string") as string; }
  map(): Message { return this.get("map") as Message; }

  /** What it holds; undefined: nothing. */
  any(): boolean | number | bigint | string | Uint8Array | Message | undefined {
    return this.held as undefined;
  }

  private get(kind: ValueKind, ...also: ValueKind[]): unknown {
    if (this.kind !== kind && !also.includes(this.kind)) {
      throw new BlazeError("ErrKind", `the value is of kind ${this.kind}, not ${kind}`);
    }
    return this.held;
  }

  equal(o: Value): boolean {
    if (this.kind !== o.kind) return false;
    if (this.kind === "map") return this.map().equal(o.map());
    if (this.kind === "bytes") return Buffer.compare(this.bytes(), o.bytes()) === 0;
    return Object.is(this.held, o.held); // as bits are: a NaN equals itself, and 0 does not equal -0
  }

  clone(): Value {
    if (this.kind === "bytes") return Value.bytes(Uint8Array.from(this.bytes()));
    return this.kind === "map" ? Value.map(this.map().clone()) : this;
  }

  /** For people to read. */
  toString(): string {
    switch (this.kind) {
      case "none": return "<none>";
      case "char": return String.fromCodePoint(this.char());
      case "bytes": return Buffer.from(this.bytes()).toString("hex");
      default: return String(this.held);
    }
  }
}

function integer(n: number, bits: number): number {
  const most = 2 ** (bits - 1);
  if (!Number.isInteger(n) || n < -most || n >= most) throw new BlazeError("ErrKind", `${n} is no ${bits}-bit integer`);
  return n === 0 ? 0 : n; // no -0
}

function oneChar(s: string): number {
  const list = [...s];
  return list.length === 1 ? list[0]!.codePointAt(0)! : -1;
}
