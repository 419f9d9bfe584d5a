// Messages a second, 100 bytes, packed, and memory: one process sends, another receives.
// Usage: node bench/rate.mjs [SECONDS [RATE]]; without a rate as fast as they are taken.
import { spawn } from "node:child_process";
import { Channel } from "../dist/src/index.js";

const [role, rate] = process.argv.slice(2);
const uri = "udp://239.255.91.17:17917";

async function receive() {
  const c = new Channel({ broadcastURI: uri, cluster: "rate" });
  let n = 0;
  c.subscribePayload("t", () => void n++);
  await c.start();
  process.on("message", (m) => {
    if (m === "read") process.send({ n, cpu: process.cpuUsage(), rss: process.memoryUsage().rss, at: performance.now() });
    else void c.shutdown().then(() => process.exit());
  });
  process.send("ready");
}

async function send(seconds, rate) {
  const child = spawn(process.execPath, [process.argv[1], "receive"], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const next = () => new Promise((r) => child.once("message", r));
  await next();
  const c = new Channel({ broadcastURI: uri, cluster: "rate" });
  await c.start();
  const p = c.publisher("t");
  await p.waitReceivers(1);
  const payload = Buffer.alloc(100, 7);
  const read = () => (child.send("read"), next());
  let sent = 0;
  const began = performance.now();
  const pass = async (ms) => {
    const end = performance.now() + ms;
    while (performance.now() < end) {
      const due = rate ? ((performance.now() - began) / 1000) * rate - sent : 256;
      for (let i = 0; i < due; i++, sent++) if (!p.tryOffer(payload)) await p.send(payload);
      await new Promise((r) => (rate ? setTimeout(r, 1) : setImmediate(r)));
    }
  };
  await pass(1000);
  const step = rate ? 30 : 5;
  for (let s = 0; s < seconds; s += step) {
    const [before, mine, n0] = [await read(), process.cpuUsage(), sent];
    await pass(Math.min(step, seconds) * 1000);
    const [after, n1] = [await read(), sent];
    const ms = after.at - before.at;
    const busy = (a, b) => ((b.user - a.user + b.system - a.system) / 1000 / ms).toFixed(2);
    console.log(JSON.stringify({
      sent: Math.round((n1 - n0) / ms * 1000), received: Math.round((after.n - before.n) / ms * 1000), senderCPU: busy(mine, process.cpuUsage()),
      receiverCPU: busy(before.cpu, after.cpu), senderMB: Math.round(process.memoryUsage().rss / 1e6), receiverMB: Math.round(after.rss / 1e6),
    }));
  }
  child.send("stop");
  await c.shutdown();
}

await (role === "receive" ? receive() : send(Number(role ?? 5), Number(rate ?? 0)));
