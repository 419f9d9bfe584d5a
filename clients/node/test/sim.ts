// Whole cores in one process: virtual time, and a network that loses, doubles and reorders by a seed.
import { Protocol } from "../src/core/protocol.js";
import { type CoreConfig, type CoreEvent, type Delivery, type Loss, GROUP } from "../src/core/core.js";
import { MS, Random, SECOND, US } from "../src/core/timing.js";
import { clusterHash, decode, newDatagram } from "../src/wire/index.js";

export interface Faults {
  loss: number;
  double: number;
  /** The longest extra delay, ns. */
  jitter: number;
}

export class Node {
  readonly p: Protocol;
  readonly got: { from: string; sequence: bigint; topic: string; kind: number; payload: Buffer }[] = [];
  readonly lost: Loss[] = [];
  readonly events: CoreEvent[] = [];
  refusing = false;
  down = false;
  /** The link to this member: bytes a second, and bytes of its queue; without one there is no bound. */
  link?: { rate: number; queue: number };
  private free = 0; // when the link has sent all that waits

  /** When a datagram has come through the link; undefined: the queue is full. */
  through(now: number, bytes: number): number | undefined {
    if (!this.link) return now;
    this.free = Math.max(this.free, now);
    if (((this.free - now) / SECOND) * this.link.rate + bytes > this.link.queue) return undefined;
    this.free += (bytes / this.link.rate) * SECOND;
    return this.free;
  }

  constructor(readonly net: Net, readonly address: string, cfg: CoreConfig) {
    this.p = new Protocol(cfg, {
      deliver: (d: Delivery) => {
        if (this.refusing) return false;
        this.got.push({ from: d.from, sequence: d.sequence, topic: d.topic, kind: d.kind, payload: Buffer.from(d.payload) });
        return true;
      },
      lost: (l) => this.lost.push(l),
      event: (e) => this.events.push(e),
    });
  }

  /** One turn: what an engine does after each datagram and each deadline. */
  turn(now: number): void {
    if (this.down) return;
    this.p.deliver(now);
    this.p.tick(now);
    this.p.flush(now);
    for (let i = 0; i < 1000; i++) {
      const s = this.p.pollSend(now);
      if (!s) break;
      this.net.send(now, this, s.bytes, s.to);
    }
    this.p.deliver(now);
  }
}

interface Flight {
  at: number;
  order: number;
  to: Node;
  from: Node;
  group: boolean;
  bytes: Buffer;
}

export class Net {
  readonly nodes: Node[] = [];
  now = 1000;
  faults: Faults = { loss: 0, double: 0, jitter: 0 };
  latency = 50 * US;
  sent = 0;
  bytes = 0;
  private flights: Flight[] = [];
  private order = 0;
  readonly random: Random;
  private count = 0;

  constructor(readonly seed: number) {
    this.random = new Random(seed);
  }

  add(over: Partial<CoreConfig> = {}): Node {
    this.count++;
    const id = String.fromCharCode(...Array.from({ length: 16 }, () => this.random.below(256)));
    const node = new Node(this, `10.0.0.${this.count}:1000`, {
      self: id, incarnation: 1, cluster: clusterHash("test"), datagram: 1472, window: 1 << 20, maxMessageSize: 1 << 19,
      eviction: SECOND, repairTimeout: 5 * SECOND, room: 1 << 20, lanes: 1, maxStreams: 64, selfDelivery: false, fastest: false, freePace: false,
      random: new Random(this.seed + this.count), ...over,
    });
    node.p.startAt(this.now);
    this.nodes.push(node);
    return node;
  }

  send(now: number, from: Node, bytes: Buffer, to: string): void {
    this.sent++;
    this.bytes += bytes.length;
    for (const n of this.nodes) {
      if (n === from || (to !== GROUP && n.address !== to)) continue;
      if (this.random.float() < this.faults.loss) continue;
      const copies = this.random.float() < this.faults.double ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        const left = n.through(now, bytes.length);
        if (left === undefined) continue;
        const at = left + this.latency + this.random.below(this.faults.jitter + 1);
        this.insert({ at, order: this.order++, to: n, from, group: to === GROUP, bytes });
      }
    }
  }

  private insert(f: Flight): void {
    let i = this.flights.length;
    while (i > 0 && (this.flights[i - 1]!.at > f.at)) i--;
    this.flights.splice(i, 0, f);
  }

  /** Runs until a time, or until done. */
  run(until: number, done: () => boolean = () => false): void {
    for (const n of this.nodes) n.turn(this.now);
    while (!done()) {
      let at = this.flights.length > 0 ? this.flights[0]!.at : Infinity;
      for (const n of this.nodes) if (!n.down) at = Math.min(at, Math.max(n.p.deadline(), this.now + US));
      if (at > until) break;
      this.now = Math.max(at, this.now);
      const f = this.flights[0];
      if (f && f.at <= this.now) {
        this.flights.shift();
        if (f.to.down) continue;
        const d = newDatagram();
        const why = decode(f.bytes, d);
        if (why) throw new Error(`a core has written what it cannot read: ${why}`);
        f.to.p.step(this.now, d, f.bytes.length, f.from.address, f.group);
        f.to.turn(this.now);
      } else {
        for (const n of this.nodes) if (n.p.deadline() <= this.now) n.turn(this.now);
      }
    }
    this.now = Math.max(this.now, Math.min(until, this.now));
  }
}

export { MS, SECOND, US };
