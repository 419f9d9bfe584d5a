// A Node member that subscribes to everything of a group: listen.mjs URI [MESSAGES-A-SECOND [SLOWCONSUMER]].
//
// It writes "ready", and at the end of its standard input what it has received and lost. With a rate it reads its
// subscription that slowly; otherwise a handler takes each message at once. What is under way at the end is waited for.
import { Channel } from "../../../clients/node/dist/src/index.js";

const [uri, rate = "0", slowConsumer = "PAUSE"] = process.argv.slice(2);
const batch = Math.max(Math.floor(Number(rate) / 100), 1);
let got = 0;
let lost = 0;
const channel = new Channel({ broadcastURI: uri, subscriptionQueue: 256, window: 512 << 10, maxMessageSize: 64 << 10, slowConsumer });
const slowly = async () => {
  if (++got % batch === 0) await new Promise((done) => setTimeout(done, (batch * 1000) / Number(rate)));
};
channel.subscribePayload(">", Number(rate) ? slowly : () => void got++, { onLoss: (l) => (lost += Number(l.last - l.first) + 1) });
await channel.start();
console.log("ready");
for await (const _ of process.stdin);
for (let before = -1; before !== got + lost; await new Promise((done) => setTimeout(done, 300))) before = got + lost;
console.log(JSON.stringify({ got, lost }));
await channel.shutdown();
process.exit();
