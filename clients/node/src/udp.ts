// The transport: two UDP sockets. One is the member's own, from which everything leaves and to which answers come. The
// other one receives what goes to the group.
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { readFileSync } from "node:fs";
import { networkInterfaces, platform } from "node:os";
import { BlazeError } from "./errors.js";
import { type Endpoint, GROUP } from "./core/core.js";
import type { Address, URI } from "./uri.js";

const RECV_BUFFER = 16 << 20;
const SEND_BUFFER = 4 << 20;
const DEFAULT_MTU = 1500;
const MIN_MTU = 576;
const MAX_MTU = 9000;
const CARRIER_WITHIN = 2000; // ms; Linux notices a carrier a second after the link has come up, at the latest
const IP_UDP = 28; // bytes of the IP and the UDP header
/** Datagrams that may wait in Node's own queues before no more are handed to them. */
const MAX_QUEUED = 64;

/** A network interface. */
interface Link {
  name: string;
  address: string;
  mtu: number;
}

/** What the transport gives to its user. */
export type Receive = (b: Buffer, from: Endpoint, group: boolean) => void;

export class Transport {
  /** Largest UDP payload, bytes. */
  readonly datagram: number;
  /** Bytes of receive buffer that the host really gave. */
  readonly room: number;
  sent = 0;
  sendErrors = 0;

  private queued = 0;
  private closed = false;

  private constructor(
    private readonly uri: URI, private readonly own: Socket, private readonly group: Socket | undefined, link: Link,
    readonly address: Address,
  ) {
    this.datagram = link.mtu - IP_UDP;
    this.room = roomOf(group ?? own);
  }

  /** Opens the sockets. receive gets what comes; drained is called when datagrams may be sent again. */
  static async open(uri: URI, receive: Receive, drained: () => void): Promise<Transport> {
    const open: Socket[] = [];
    try {
      let own: Socket;
      let group: Socket | undefined;
      let link: Link;
      if (uri.scheme === "udp") {
        link = await findLink(uri.interface, uri.mtu);
        own = makeSocket(open, false);
        await bind(own, { host: link.address, port: 0 });
        group = makeSocket(open, true);
        await bind(group, groupAddress(uri.group!));
        joined(() => group!.addMembership(uri.group!.host, link.address), uri.group!, link);
        own.setMulticastInterface(link.address);
        own.setMulticastTTL(uri.ttl);
        own.setMulticastLoopback(uri.loop !== "off");
      } else {
        [own, link] = await bindFirst(uri, open);
      }
      const a = own.address();
      const t = new Transport(uri, own, group, link, { host: a.address, port: a.port });
      t.drained = drained;
      own.on("message", (b: Buffer, r: RemoteInfo) => receive(b, endpoint(r), false));
      group?.on("message", (b: Buffer, r: RemoteInfo) => receive(b, endpoint(r), true));
      for (const s of open) s.on("error", () => undefined); // of one datagram: what is lost is repaired
      return t;
    } catch (e) {
      for (const s of open) s.close();
      throw e;
    }
  }

  private drained: () => void = () => undefined;

  /** Reports whether a datagram may be sent now: Node's own queue is not full. */
  ready(): boolean {
    return this.queued < MAX_QUEUED;
  }

  send(b: Buffer, to: Endpoint): void {
    if (this.closed) return;
    if (to !== GROUP) {
      const a = addressOf(to);
      this.put(b, a.port, a.host);
    } else if (this.uri.group) {
      this.put(b, this.uri.group.port, this.uri.group.host);
    } else {
      for (const p of this.uri.peers) {
        if (p.port !== this.address.port || p.host !== this.address.host) this.put(b, p.port, p.host);
      }
    }
  }

  private put(b: Buffer, port: number, host: string): void {
    this.queued++;
    this.sent++;
    this.own.send(b, 0, b.length, port, host, (e) => {
      if (e) this.sendErrors++;
      if (this.queued-- === MAX_QUEUED) this.drained();
    });
  }

  /** Closes the sockets when what was handed to them has left. */
  async close(): Promise<void> {
    if (this.closed) return;
    for (let i = 0; i < 100 && this.queued > 0; i++) await new Promise((r) => setTimeout(r, 2));
    this.closed = true;
    await Promise.all([this.own, this.group].map((s) => s && new Promise<void>((done) => s.close(() => done()))));
  }
}

const endpoints = new Map<string, Address>();

function endpoint(r: RemoteInfo): Endpoint {
  return `${r.address}:${r.port}`;
}

function addressOf(e: Endpoint): Address {
  let a = endpoints.get(e);
  if (!a) {
    const i = e.lastIndexOf(":");
    a = { host: e.slice(0, i), port: Number(e.slice(i + 1)) };
    if (endpoints.size >= 4096) endpoints.clear();
    endpoints.set(e, a);
  }
  return a;
}

function makeSocket(open: Socket[], shared: boolean): Socket {
  const s = createSocket({
    type: "udp4", reuseAddr: shared,
    // Addresses are numbers: a lookup of names would take a turn of the event loop for each datagram.
    lookup: (host: string, _options: unknown, done: (e: null, address: string, family: number) => void) => done(null, host, 4),
  });
  open.push(s);
  return s;
}

/** A socket that is bound to the group's address receives nothing else that comes to the port; Windows has no such thing. */
function groupAddress(a: Address): Address {
  return platform() === "win32" ? { host: "0.0.0.0", port: a.port } : a;
}

function bind(s: Socket, a: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (e: NodeJS.ErrnoException): void => reject(bindError(a, e));
    s.once("error", failed);
    s.bind({ address: a.host, port: a.port, exclusive: true }, () => {
      s.removeListener("error", failed);
      grow(s);
      resolve();
    });
  });
}

/** Asks for large buffers, and takes what the host gives. */
function grow(s: Socket): void {
  for (const set of [() => s.setRecvBufferSize(RECV_BUFFER), () => s.setSendBufferSize(SEND_BUFFER)]) {
    try {
      set();
    } catch {
      // It stays as it was; what there is is read back.
    }
  }
}

/** Linux doubles what was asked for, for its own use. */
function roomOf(s: Socket): number {
  const n = s.getRecvBufferSize();
  return platform() === "linux" ? n >> 1 : n;
}

function bindError(a: Address, e: NodeJS.ErrnoException): BlazeError {
  if (e.code === "EADDRINUSE") {
    const who = platform() === "linux" ? `ss -ulnp sport = :${a.port}` : platform() === "win32" ? "netstat -ano -p udp" : `lsof -nP -iUDP:${a.port}`;
    return new BlazeError("ErrConfig", `port ${a.port} of ${a.host} is taken by a program that does not share it; stop it (${who} shows it) or choose another port`, { cause: e });
  }
  if (e.code === "EACCES") {
    return new BlazeError("ErrConfig", `binding port ${a.port} is not permitted; ports below 1024 need a privilege (CAP_NET_BIND_SERVICE on Linux), choose a higher one`, { cause: e });
  }
  return new BlazeError("ErrConfig", `bind ${a.host}:${a.port}: ${e.message}`, { cause: e });
}

function joined(join: () => void, group: Address, link: Link): void {
  try {
    join();
  } catch (e) {
    const many = (e as NodeJS.ErrnoException).code === "ENOBUFS" ? " (the host limits groups; allow more with: sysctl -w net.ipv4.igmp_max_memberships=256)" : "";
    throw new BlazeError("ErrConfig", `join ${group.host} on interface ${link.name}: ${(e as Error).message}${many}`, { cause: e });
  }
}

/**
 * Finds the interface called name, or loopback when name is empty. Node lists those that have an address and a carrier. One
 * that has come up a moment ago has none yet: it is waited for.
 */
async function findLink(name: string, mtu: number): Promise<Link> {
  for (const end = performance.now() + CARRIER_WITHIN; ; await new Promise((r) => setTimeout(r, 20))) {
    const all = networkInterfaces();
    for (const [n, list] of Object.entries(all)) {
      const four = list?.find((a) => a.family === "IPv4");
      if ((name === "" && four?.internal) || n === name) {
        if (four) return { name: n, address: four.address, mtu: mtuOf(n, mtu) };
      }
    }
    if (name === "") throw new BlazeError("ErrConfig", `this host has no loopback interface; name one of ${Object.keys(all).join(", ")}`);
    switch (interfaceState(name)) {
      case undefined:
        throw new BlazeError("ErrConfig", `there is no interface ${JSON.stringify(name)}; this host has ${Object.keys(all).join(", ")}`);
      case "down":
        throw new BlazeError("ErrConfig", `interface ${name} is down; bring it up with: ip link set dev ${name} up`);
      case "up":
        throw new BlazeError("ErrConfig", `interface ${name} has no IPv4 address; give it one with: ip address add ADDRESS/BITS dev ${name}`);
      case "no carrier":
        if (performance.now() >= end) throw new BlazeError("ErrConfig", `interface ${name} has no carrier: nothing is plugged in, or its other end is down`);
    }
  }
}

/** What the host says of an interface; undefined: nothing, or it is not Linux. */
function about(name: string, file: string): string | undefined {
  if (!/^[^/\0]{1,255}$/.test(name) || name === "." || name === "..") return undefined;
  try {
    return readFileSync(`/sys/class/net/${name}/${file}`, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** The state of an interface, where the host tells; undefined: there is none. */
function interfaceState(name: string): "up" | "no carrier" | "down" | undefined {
  const flags = about(name, "flags");
  if (flags === undefined) return undefined;
  if (!(Number(flags) & 1)) return "down";
  return ["up", "unknown"].includes(about(name, "operstate") ?? "up") ? "up" : "no carrier";
}

/** The MTU to go by: the interface's, where the host tells, at most 1500, or what was asked for. */
function mtuOf(name: string, asked: number): number {
  const own = Math.min(Number(about(name, "mtu") ?? MAX_MTU), MAX_MTU);
  if (asked === 0) {
    if (own < MIN_MTU) throw new BlazeError("ErrConfig", `interface ${name} has an MTU of ${own} bytes, at least ${MIN_MTU} are needed`);
    return Math.min(own, DEFAULT_MTU);
  }
  if (asked > own) throw new BlazeError("ErrConfig", `mtu ${asked} is more than interface ${name} carries; at most ${own}`);
  return asked;
}

/** Binds the first of the listed addresses that is local and free. */
async function bindFirst(uri: URI, open: Socket[]): Promise<[Socket, Link]> {
  const tried: string[] = [];
  for (const a of uri.bind ? [uri.bind] : uri.peers) {
    const link = linkOf(a.host, uri.mtu);
    if (!link) {
      tried.push(`${a.host}:${a.port} is not local`);
      continue;
    }
    const s = makeSocket(open, false);
    try {
      await bind(s, a);
      return [s, link];
    } catch (e) {
      if (((e as BlazeError).cause as NodeJS.ErrnoException | undefined)?.code !== "EADDRINUSE") throw e;
      tried.push(`${a.host}:${a.port} is in use`);
      open.splice(open.indexOf(s), 1);
      s.close();
    }
  }
  throw new BlazeError("ErrConfig", `no listed address can be bound: ${tried.join(", ")}`);
}

function linkOf(address: string, mtu: number): Link | undefined {
  for (const [name, list] of Object.entries(networkInterfaces())) {
    for (const a of list ?? []) {
      // All of 127.0.0.0/8 is loopback, whatever is configured.
      if (a.family === "IPv4" && (a.address === address || (a.internal && address.startsWith("127.")))) {
        return { name, address, mtu: mtuOf(name, mtu) };
      }
    }
  }
  return undefined;
}
