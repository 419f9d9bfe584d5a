// wire/testdata/vectors.json and messages.json: what every language reads, writes and refuses.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as pb from "../src/gen/blaze_pb.js";
import { Message, Value, validatePattern, validateTopic } from "../src/index.js";
import { matches } from "../src/topic.js";
import {
  type Control, type Data, type Datagram, type Frame, type Start, FrameKind, clusterHash, decode, fnv32, idBytes, newDatagram, writeControl, writeData,
} from "../src/wire/index.js";
import { root } from "./hex.js";

type Json = { [k: string]: any };
const all = JSON.parse(readFileSync(root + "wire/testdata/vectors.json", "utf8")) as Json;
const messages = JSON.parse(readFileSync(root + "wire/testdata/messages.json", "utf8")) as Json;

const hex = (b: Uint8Array): string => Buffer.from(b).toString("hex");
const bytes = (s: string): Buffer => Buffer.from(s, "hex");

const schemas: Record<number, [string, DescMessage]> = {};
for (const f of pb.DatagramSchema.fields) {
  if (f.fieldKind === "list" && f.listKind === "message") schemas[f.number] = [f.name, f.message];
}

/** A generated message with the names of blaze.proto. */
function plain(m: Json, desc: DescMessage): Json {
  const out: Json = {};
  for (const f of desc.fields) {
    const v = m[f.localName];
    if (v === undefined) continue;
    const message = f.fieldKind === "message" || (f.fieldKind === "list" && f.listKind === "message") ? f.message : undefined;
    const one = (x: any): any => (message ? plain(x, message) : x instanceof Uint8Array ? hex(x) : typeof x === "bigint" ? String(x) : x);
    out[f.name] = Array.isArray(v) ? v.map(one) : one(v);
  }
  return out;
}

const snake = (s: string): string => s.replace(/[A-Z]/g, (c) => "_" + c.toLowerCase());

function frame(f: Frame): Json {
  if (f.kind === 0) return { [schemas[f.number]![0]]: plain(f.message as Json, schemas[f.number]![1]) };
  const out: Json = {};
  for (const [k, v] of Object.entries(f)) {
    if (k === "kind" || v === undefined) continue;
    out[snake(k)] = k === "origin" ? hex(idBytes(v)) : typeof v === "bigint" ? String(v) : v;
  }
  if (f.kind === FrameKind.Nak) for (const k of ["gaps", "again"]) out[k] = out[k].map((g: Json) => ({ first: String(g["first"]), count: g["count"] }));
  if (f.kind === FrameKind.Data) {
    out["messages"] = f.messages.map((m) => ({ topic: m.topic, kind: m.kind, payload: hex(f.bytes.subarray(m.start, m.end)) }));
    for (const k of ["bytes", "offset", "size", "fragment"]) delete out[k];
    if (f.fragment) out["fragment"] = { offset: f.offset, size: f.size };
  }
  return { [schemas[f.kind]![0]]: out };
}

const empty = (v: any): boolean => !v || v === "0" || v.length === 0;

/** Compares, where what is left out is missing, false, zero or empty. */
function same(got: any, want: any, at: string): void {
  if (typeof want !== "object" || want === null) {
    assert.deepEqual(got, want, at);
    return;
  }
  if (Array.isArray(want)) assert.equal(got?.length ?? 0, want.length, at);
  for (const k of Object.keys(want)) same(got?.[k], want[k], `${at}.${k}`);
  for (const k of Object.keys(got ?? {})) if (!(k in want)) assert.ok(empty(got[k]), `${at}.${k}: ${JSON.stringify(got[k])} and nothing wanted`);
}

function write(d: Datagram): Buffer | undefined {
  const data = d.frames.filter((f): f is Data => f.kind === FrameKind.Data);
  if (d.frames.some((f) => f.kind === 0)) return undefined;
  if (data.length === 0) return writeControl(d, d.frames as Control[]);
  const rest = d.frames.filter((f) => f.kind !== FrameKind.Data);
  if (data.length > 1 || rest.length > 1 || rest.some((f) => f.kind !== FrameKind.Start)) return undefined;
  const m = data[0]!;
  return writeData(
    d, m.number, m.firstMessage, m.messages.map((x) => ({ topic: x.topic, kind: x.kind, payload: m.bytes.subarray(x.start, x.end) })),
    m.fragment ? { offset: m.offset, size: m.size } : undefined, rest[0] as Start | undefined,
  );
}

test("datagrams: the verdict, what is in them, and the same bytes again", () => {
  let written = 0;
  const count = { canonical: 0, valid: 0, refused: 0 };
  for (const v of all["datagrams"]) {
    const d = newDatagram();
    const why = decode(bytes(v.bytes), d);
    if (v.verdict !== "canonical" && v.verdict !== "valid") {
      assert.equal(why, v.verdict, v.name);
      count.refused++;
      continue;
    }
    assert.equal(why, undefined, v.name);
    same({ ...d, cluster: String(d.cluster), transmitter: hex(idBytes(d.transmitter)), frames: [], canonical: false }, v.header, v.name);
    const byKind = d.frames.map((f, i) => ({ f, i, n: f.kind === 0 ? f.number : f.kind })).sort((a, b) => a.n - b.n || a.i - b.i);
    same(byKind.map((x) => frame(x.f)), v.frames, v.name);
    count[v.verdict as "valid"]++;
    if (!v.written) continue;
    const w = write(d);
    if (!w) continue; // frames that this member does not write
    written++;
    assert.equal(hex(w), v.bytes, v.name);
  }
  assert.ok(written > 250 && count.refused > 400 && count.canonical > 350 && count.valid > 200, JSON.stringify({ written, count }));
});

/** The required fields that are missing in a message of generated code, and in those inside it. */
function lacking(m: Json, desc: DescMessage, required: Set<string>): string[] {
  return desc.fields.flatMap((f) => {
    const v = m[f.localName];
    const name = `${desc.name}.${f.name}`;
    if (v === undefined) return required.has(name) ? [name] : [];
    if (f.fieldKind === "message") return lacking(v, f.message, required);
    return f.fieldKind === "list" && f.listKind === "message" ? v.flatMap((x: Json) => lacking(x, f.message, required)) : [];
  });
}

test("messages of clusters, which this member does not send: what generated code reads of them", () => {
  const required = new Set<string>(all["cluster_required"].map((v: Json) => v["field"]));
  const seen: Record<string, number> = { canonical: 0, valid: 0, malformed: 0, range: 0 };
  const roots: Record<string, DescMessage> = { ClusterMessage: pb.ClusterMessageSchema, Transfer: pb.TransferSchema };
  for (const v of all["cluster_messages"]) {
    seen[v.verdict]!++;
    const schema = roots[v.type]!;
    const m = fromBinary(schema, bytes(v.bytes));
    const missing = lacking(m as Json, schema, required);
    assert.equal(missing.length > 0, v.verdict === "malformed", `${v.name}: ${missing}`);
    if (v.message) same(plain(m as Json, schema), v.message, v.name);
    if (v.verdict === "malformed") continue;
    const again = hex(toBinary(schema, m, { writeUnknownFields: false }));
    assert.equal(again === v.bytes, v.verdict !== "valid", v.name);
  }
  assert.ok(Object.values(seen).every((n) => n > 20), JSON.stringify(seen));
});

test("hashes of clusters, and lanes of topics", () => {
  for (const v of all["clusters"]) if (v.name_text !== undefined) assert.equal(String(clusterHash(v.name_text)), v.cluster, v.name);
  for (const v of all["lanes"]) {
    assert.equal(fnv32(bytes(v.topic)), v.fnv1a);
    for (const x of v.of) assert.equal(v.fnv1a % x.lanes, x.lane);
  }
});

function allows(check: (s: string) => void, v: Json): boolean {
  if (v["topic_text"] === undefined) return false; // not UTF-8: no string of this language is it
  try {
    check(v["topic_text"]);
    return true;
  } catch {
    return false;
  }
}

test("topics and patterns", () => {
  for (const v of all["topics"]) {
    assert.equal(allows(validateTopic, v), v.publish, v.topic);
    assert.equal(allows(validatePattern, v), v.subscribe, v.topic);
  }
  for (const v of all["matches"]) {
    // A character for each byte: the rules look at bytes.
    const [p, t] = [v.pattern, v.topic].map((s: string) => bytes(s).toString("latin1")) as [string, string];
    assert.equal(matches(p, t), v.match, `${v.pattern_text} ${v.topic_text}`);
  }
});

function float(bits: string): number {
  const b = bytes(bits);
  return b.length === 4 ? b.readFloatBE() : b.readDoubleBE();
}

function value(e: Json): Value {
  switch (e["kind"]) {
    case "byte": return Value.byte(e["value"]);
    case "int16": return Value.int16(e["value"]);
    case "int32": return Value.int32(e["value"]);
    case "int64": return Value.int64(BigInt(e["value"]));
    case "char": return Value.char(e["value"]);
    case "bool": return Value.bool(e["value"]);
    case "string": return Value.string(e["value"]);
    case "bytes": return Value.bytes(bytes(e["value"]));
    case "float32": return Value.float32(float(e["value"]));
    case "float64": return Value.float64(float(e["value"]));
    case "map": return Value.map(message(e["value"]));
  }
  return Value.none;
}

function message(v: Json): Message {
  const m = new Message();
  for (const e of v["entries"]) m.set(e.key, value(e));
  if (v["text"] !== undefined) m.setText(v["text"]);
  if (v["bytes"] !== undefined) m.setBytes(bytes(v["bytes"]));
  if (v["object"] !== undefined) m.setObject(v["object"].type, bytes(v["object"].value));
  if (v["header"] !== undefined) m.header = bytes(v["header"]);
  return m;
}

test("messages: read, made and written", () => {
  for (const v of messages["messages"]) {
    if (v.verdict === "malformed") {
      assert.throws(() => Message.unmarshal(bytes(v.bytes)), { code: "ErrMalformed" }, v.name);
      continue;
    }
    const m = Message.unmarshal(bytes(v.bytes));
    const made = message(v.message);
    assert.ok(m.equal(made), `${v.name}: ${m} and ${made}`);
    const want = v.written ?? v.bytes;
    assert.equal(hex(m.marshal()), want, v.name);
    const odd = v.name === 'float64 "NaN"'; // a NaN loses its bits where an engine makes it canonical
    if (!odd) assert.equal(hex(made.marshal()), want, v.name);
  }
});
