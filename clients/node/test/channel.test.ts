// Channels over real sockets, on loopback: each test has a group and a port of its own.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { BlazeError, Channel, type Config, Kind, type Loss, Message, Protocol, Value, newGroupChannel } from "../src/index.js";
import { complete } from "../src/config.js";
import { parseURI } from "../src/uri.js";

async function freePort(): Promise<number> {
  const s = createSocket("udp4");
  await new Promise<void>((r) => s.bind(0, "127.0.0.1", r));
  const { port } = s.address();
  await new Promise<void>((r) => s.close(() => r()));
  return port;
}

/** Starts channels that hear each other and nobody else, runs f with them, and shuts them down. */
async function together(configs: Config[], f: (...c: Channel[]) => Promise<void>): Promise<void> {
  const port = await freePort();
  const group = `udp://239.255.${1 + Math.floor(Math.random() * 250)}.${1 + Math.floor(Math.random() * 250)}:${port}`;
  const cluster = `test-${process.pid}-${port}`;
  const all = configs.map((c) => new Channel({ broadcastURI: group, cluster, ...c }));
  try {
    for (const c of all) await c.start();
    await f(...all);
  } finally {
    for (const c of all) await c.shutdown().catch(() => undefined);
  }
}

async function take<T>(from: AsyncIterable<T>, n: number): Promise<T[]> {
  const list: T[] = [];
  for await (const m of from) {
    list.push(m);
    if (list.length === n) break;
  }
  return list;
}

test("messages come once and in order, with 5 % lost each way", async () => {
  await together([{ loss: 0.05, seed: 1 }, { loss: 0.05, seed: 2 }], async (a, b) => {
    const count = 3000;
    const losses: Loss[] = [];
    const sub = b.subscribePayload("prices.>", { onLoss: (l) => losses.push(l) });
    const p = a.publisher("prices.eu.bund");
    const got = take(sub, count);
    await p.waitReceivers(1);
    for (let i = 0; i < count; i++) await p.send(Buffer.from(`message ${i}`));
    const list = await got;
    assert.deepEqual(list.map((d) => Buffer.from(d.payload).toString()), Array.from({ length: count }, (_, i) => `message ${i}`));
    assert.deepEqual(list.map((d) => Number(d.sequence)), Array.from({ length: count }, (_, i) => i + 1));
    assert.equal(list[0]!.from, a.id);
    assert.equal(list[0]!.kind, Kind.RAW);
    assert.equal(losses.length, 0);
  });
});

test("typed messages, wildcards, large messages, own messages", async () => {
  await together([{}, {}], async (a, b) => {
    const one = b.subscribe("orders.*.new");
    const own = a.subscribe("orders.>");
    const other = b.subscribe("trades.>");
    await a.publisher("orders.eu.new").waitReceivers(1);
    const m = Message.of({ n: Value.int32(7), text: "grün", big: 1n << 60n, list: Buffer.alloc(300_000, 5) }).setText("body");
    await a.broadcast("orders.eu.new", m);
    await a.broadcast("orders.eu.old", Message.text("no"));
    const [got] = await take(one, 1);
    assert.ok(got!.equal(m));
    assert.equal(got!.topic, "orders.eu.new");
    assert.equal(got!.from, a.id);
    assert.equal((await take(own, 2))[1]!.text(), "no");
    assert.equal((await Promise.race([take(other, 1), new Promise((r) => setTimeout(r, 50, "nothing"))])), "nothing");
  });
});

test("an empty payload, and one of maxMessageSize; one more is refused", async () => {
  await together([{ maxMessageSize: 200_000 }, { maxMessageSize: 200_000 }], async (a, b) => {
    const sub = b.subscribePayload("t");
    const p = a.publisher("t");
    await p.waitReceivers(1);
    p.offer(Buffer.alloc(0));
    await p.send(Buffer.alloc(200_000, 1));
    assert.throws(() => p.offer(Buffer.alloc(200_001)), { code: "ErrTooLarge" });
    assert.deepEqual((await take(sub, 2)).map((d) => d.payload.length), [0, 200_000]);
  });
});

test("a full queue pauses the stream, drops, or ends the subscription", async () => {
  for (const slowConsumer of ["PAUSE", "DROP", "DISCONNECT"] as const) {
    await together([{}, { slowConsumer, subscriptionQueue: 10 }], async (a, b) => {
      let lost = 0n;
      const sub = b.subscribePayload("t", { onLoss: (l) => (lost += l.last - l.first + 1n) });
      const p = a.publisher("t");
      await p.waitReceivers(1);
      for (let i = 0; i < 200; i++) p.offer(Buffer.from(String(i)));
      await new Promise((r) => setTimeout(r, 100));
      if (slowConsumer === "DISCONNECT") {
        await sub.done;
        assert.equal((sub.err as BlazeError).code, "ErrBackPressure");
        return;
      }
      const want = slowConsumer === "PAUSE" ? 200 : 10;
      const list = await take(sub, want);
      assert.deepEqual(list.map((d) => Buffer.from(d.payload).toString()), Array.from({ length: want }, (_, i) => String(i)));
      if (slowConsumer === "PAUSE") assert.equal(lost, 0n);
      else assert.equal(Number(b.stats()["drops"] && (b.stats()["drops"] as Record<string, number>)["slow consumer"]), 190);
    });
  }
});

test("events of streams and receivers; stop ends both", async () => {
  await together([{}, {}], async (a, b) => {
    const events: string[] = [];
    b.subscribe("t");
    b.onStream((e) => events.push(e.kind));
    a.onStream((e) => events.push(e.kind));
    const p = a.publisher("t");
    await p.waitReceivers(1);
    assert.equal(p.receivers(), 1);
    p.offer(Buffer.from("last"));
    await a.stop();
    for (let i = 0; i < 200 && !events.includes("StreamLeft"); i++) await new Promise((r) => setTimeout(r, 5));
    assert.deepEqual(events, ["StreamStarted", "ReceiverJoined", "StreamLeft"]);
    assert.throws(() => p.offer(Buffer.from("x")), { code: "ErrState" });
    const before = a.id;
    await a.start();
    assert.notEqual(a.id, before);
  });
});

test("BestEffort, several lanes, and another cluster on the same group", async () => {
  await together([{ protocol: Protocol.BESTEFFORT, lanes: 8 }, { lanes: 8 }, { cluster: "another" }], async (a, b, c) => {
    const sub = b.subscribe(">");
    const foreign = c.subscribe(">");
    const topics = Array.from({ length: 20 }, (_, i) => `t.${i}`);
    // The first datagram of a stream may be missed by nobody who was there before it.
    for (const t of topics) await a.broadcast(t, Message.text(t));
    const got = (await take(sub, 20)).map((m) => m.text()!);
    assert.deepEqual(got.sort(), [...topics].sort());
    void foreign;
    assert.equal(c.stats()["delivered"], 0);
    const foreignDrops = (): number => (c.stats()["drops"] as Record<string, number>)["cluster"] ?? 0;
    for (let i = 0; i < 200 && foreignDrops() === 0; i++) await new Promise((r) => setTimeout(r, 5));
    assert.ok(foreignDrops() > 0);
  });
});

test("pointcast", async () => {
  const [x, y] = [await freePort(), await freePort()];
  const uri = (me: number): string => `pointcast://127.0.0.1:${x},127.0.0.1:${y}?bind=127.0.0.1:${me}`;
  const [a, b] = [x, y].map((p) => new Channel({ broadcastURI: uri(p), loss: 0.05 })) as [Channel, Channel];
  await a.start();
  await b.start();
  const sub = b.subscribe("t");
  const p = a.publisher("t");
  await p.waitReceivers(1);
  for (let i = 0; i < 500; i++) await p.send(Buffer.from(String(i)));
  assert.equal((await take(sub, 500)).length, 500);
  await a.shutdown();
  await b.shutdown();
});

test("what this member lacks is refused by name", () => {
  const text = (f: () => unknown): string => {
    try {
      f();
    } catch (e) {
      assert.ok(e instanceof BlazeError && e.is("ErrUnsupported"), String(e));
      return e.message;
    }
    return "nothing was refused";
  };
  for (const p of [Protocol.TOTEM, Protocol.FEC, Protocol.HYBRID]) {
    assert.equal(text(() => new Channel({ protocol: p })), `blaze: Protocol.${p} is not supported by the Node member`);
    assert.equal(text(() => new Channel({ topics: [{ pattern: "a", protocol: p }] })), `blaze: Protocol.${p} is not supported by the Node member`);
  }
  assert.equal(text(() => new Channel({ broadcastURI: "xdp://239.1.1.1:1" })), "blaze: xdp:// is not supported by the Node member");
  assert.equal(text(() => new Channel({ maxRate: 1 } as Config)), "blaze: the setting maxRate is not supported by the Node member");
  assert.equal(text(() => newGroupChannel()), "blaze: GroupChannel is not supported by the Node member");
});

test("a wrong config names the field, the value and what is allowed", async () => {
  for (const [c, want] of [
    [{ lanes: 65 }, /lanes = 65: must be 1 to 64/], [{ window: 1 }, /window = 1/], [{ lanez: 1 } as Config, /no such setting/],
    [{ broadcastURI: "udp://10.0.0.1:1" }, /must be an IPv4 multicast address/], [{ broadcastURI: "udp://239.1.1.1" }, /has no port/],
    [{ broadcastURI: "239.1.1.1:1" }, /must begin with a scheme/], [{ broadcastURI: "udp://239.1.1.1:1?ttl=0" }, /ttl = "0": must be a whole number from 1 to 255/],
    [{ protocol: "X" as Protocol }, /must be BESTEFFORT, NACK/], [{ maxMessageSize: 8 << 20 , window: 8 << 20}, /half of window/],
  ] as [Config, RegExp][]) assert.throws(() => complete(c), want);
  await assert.rejects(new Channel({ broadcastURI: "udp://239.1.1.1:6000?interface=nope0" }).start(), /there is no interface "nope0"; this host has/);
  await assert.rejects(new Channel({ broadcastURI: "pointcast://192.0.2.1:6000" }).start(), /192.0.2.1:6000 is not local/);
  assert.deepEqual(parseURI("udp://239.1.1.1:5?interface=eth0&ttl=3&mtu=9000&gso=auto&loop=off").ttl, 3);
});

test("an interface that has just come up is waited for, and one without a carrier is named", (t) => {
  const index = new URL("../src/index.js", import.meta.url).href;
  const start = `import { Channel } from ${JSON.stringify(index)};
    const c = new Channel({ broadcastURI: "udp://239.1.1.1:6000?interface=near" });
    await c.start().then(() => console.log("started"), (e) => console.log(e.message));
    await c.shutdown();`;
  const node = `${JSON.stringify(process.execPath)} --input-type=module -e "$START"`;
  const script = `mount -t sysfs none /sys && ip link add near type veth peer name far && ip address add 10.9.9.1/24 dev near && ip link set near up || exit 77
    ${node}
    (sleep 0.5; ip link set far up) & ${node}`;
  const r = spawnSync("unshare", ["-rnm", "sh", "-c", script], { env: { ...process.env, START: start }, encoding: "utf8" });
  if (r.error || r.status !== 0) {
    t.skip("no networks of one's own here");
    return;
  }
  assert.deepEqual(r.stdout.trim().split("\n"), ["blaze: interface near has no carrier: nothing is plugged in, or its other end is down", "started"]);
});

test("bad arguments", async () => {
  const c = new Channel({});
  for (const t of ["", "a..b", "a.*", ">", "a\u0000", "\ud800", "x".repeat(256)]) assert.throws(() => c.publisher(t), { code: "ErrTopic" }, t);
  for (const t of ["a.>.b", "a*"]) assert.throws(() => c.subscribe(t), { code: "ErrTopic" });
  assert.throws(() => c.publisher("a").offer(Buffer.from("x")), { code: "ErrState" });
  await assert.rejects(c.broadcast("a", "text" as unknown as Message), { code: "ErrArgument" });
  assert.throws(() => Message.text("\udc00").marshal(), { code: "ErrMalformed" });
  assert.throws(() => Value.int64(1n << 63n), { code: "ErrKind" });
  assert.throws(() => Value.byte(128), { code: "ErrKind" });
  assert.throws(() => Value.string("1").int32(), /of kind string, not int32/);
});
