// Where a channel sends: udp://239.255.66.76:6676?interface=eth0&ttl=1&mtu=1500&loop=auto, or
// pointcast://10.0.0.1:6676,10.0.0.2:6676?bind=10.0.0.1:6676.
import { BlazeError, unsupported } from "./errors.js";

/** Where the default config sends. */
export const DEFAULT_URI = "udp://239.255.66.76:6676";

/** An IPv4 address and a port. */
export interface Address {
  host: string;
  port: number;
}

/** A broadcastURI in its parts. */
export interface URI {
  scheme: "udp" | "pointcast";
  /** The multicast address; udp only. */
  group?: Address;
  /** The members' addresses; pointcast only. */
  peers: Address[];
  /** The network interface's name; empty: loopback, and nothing leaves the host. */
  interface: string;
  /** Routers that multicast may pass, plus one. */
  ttl: number;
  /** Bytes of an IP packet; 0: the interface's, at most 1500. */
  mtu: number;
  /** What is sent to the group goes to other sockets of the host: "auto" is on in this member. */
  loop: "auto" | "on" | "off";
  /** Which of the peers this member is; undefined: the first that is local and free. */
  bind?: Address;
}

const quote = (s: string): string => JSON.stringify(s.length > 40 ? s.slice(0, 40) + "…" : s);

function bad(part: string, value: string, want: string): BlazeError {
  return new BlazeError("ErrConfig", `broadcastURI${part && ": " + part} = ${quote(value)}: ${want}`);
}

const options: Record<"udp" | "pointcast", string[]> = {
  udp: ["interface", "ttl", "mtu", "dscp", "busypoll", "gso", "loop"],
  pointcast: ["bind", "mtu", "dscp", "busypoll", "gso"],
};

/** Reads a broadcastURI. Its errors name the part, its value and what is allowed. */
export function parseURI(s: string): URI {
  const cut = s.indexOf("://");
  if (cut < 0) throw bad("", s, `must begin with a scheme and ://, as in ${DEFAULT_URI}`);
  const scheme = s.slice(0, cut).toLowerCase();
  if (scheme === "xdp") throw unsupported("xdp://");
  if (scheme === "auto") return parseURI("udp" + s.slice(cut)); // what a host without xdp makes of it
  if (scheme !== "udp" && scheme !== "pointcast") throw bad("scheme", s.slice(0, cut), "must be udp, auto or pointcast");
  const rest = s.slice(cut + 3);
  const q = rest.indexOf("?");
  const address = q < 0 ? rest : rest.slice(0, q);
  const u: URI = { scheme, peers: [], interface: "", ttl: 1, mtu: 0, loop: "auto" };
  if (scheme === "udp") {
    u.group = parseAddress("address", address);
    const first = Number(u.group.host.split(".")[0]);
    if (first < 224 || first > 239) {
      throw bad("address", address, "must be an IPv4 multicast address, 224.0.0.0 to 239.255.255.255 (239.x.y.z is for private use), " +
        "where the network has no multicast, use pointcast://");
    }
  } else {
    const list = address.split(",");
    if (list.length > 256) throw bad("addresses", String(list.length), "must be at most 256; more members need multicast");
    for (const a of list) {
      const peer = parseAddress("address", a);
      const first = Number(peer.host.split(".")[0]);
      if ((first >= 224 && first <= 239) || peer.host === "0.0.0.0" || peer.host === "255.255.255.255") {
        throw bad("address", a, "must be one host's own IPv4 address; for multicast, use udp://");
      }
      if (u.peers.some((p) => same(p, peer))) throw bad("address", a, "is listed twice");
      u.peers.push(peer);
    }
  }
  const seen = new Set<string>();
  for (const pair of q < 0 || q === rest.length - 1 ? [] : rest.slice(q + 1).split("&")) {
    const eq = pair.indexOf("=");
    if (eq < 0) throw bad("option", pair, "must be name=value");
    const name = pair.slice(0, eq);
    if (scheme === "udp" && ["queue", "queues", "mode", "zerocopy", "socket", "lanes", "tap"].includes(name)) throw unsupported(`the option ${name}`);
    if (!options[scheme].includes(name)) throw bad("option", name, `${scheme}:// has ${options[scheme].join(", ")}`);
    let value: string;
    try {
      value = decodeURIComponent(pair.slice(eq + 1));
    } catch {
      throw bad(name, pair.slice(eq + 1), "has a bad escape: % must be followed by two hexadecimal digits");
    }
    if (seen.has(name)) throw bad(name, value, "is given twice");
    seen.add(name);
    setOption(u, name, value);
  }
  if (u.bind && !u.peers.some((p) => same(p, u.bind!))) {
    throw bad("bind", `${u.bind.host}:${u.bind.port}`, "must be one of the listed addresses: to another nobody would send");
  }
  return u;
}

function setOption(u: URI, name: string, value: string): void {
  switch (name) {
    case "interface": u.interface = value; break;
    case "ttl": u.ttl = whole(name, value, 1, 255); break;
    case "mtu": u.mtu = whole(name, value, 576, 9000); break;
    case "bind": if (value !== "") u.bind = parseAddress(name, value); break;
    case "loop":
      if (value !== "auto" && value !== "on" && value !== "off") throw bad(name, value, "must be auto, on or off");
      u.loop = value;
      break;
    case "gso":
      if (value !== "auto" && value !== "on" && value !== "off") throw bad(name, value, "must be auto, on or off");
      if (value === "on") throw unsupported("gso=on");
      break;
    case "dscp": if (whole(name, value, 0, 63) !== 0) throw unsupported("dscp"); break;
    case "busypoll": if (!/^0+(ns|us|µs|ms|s)?$/.test(value)) throw unsupported("busypoll"); break;
  }
}

function whole(name: string, value: string, low: number, high: number): number {
  const n = /^[0-9]+$/.test(value) ? Number(value) : NaN;
  if (!(n >= low && n <= high)) throw bad(name, value, `must be a whole number from ${low} to ${high}`);
  return n;
}

function same(a: Address, b: Address): boolean {
  return a.host === b.host && a.port === b.port;
}

/** Reads "a.b.c.d:port". */
function parseAddress(part: string, s: string): Address {
  if (s.includes("[") || s.split(":").length > 2) throw unsupported("an IPv6 address");
  if (s === "") throw bad(part, s, "must be an IPv4 address and a port, such as 239.255.66.76:6676");
  const m = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?::(.*))?$/.exec(s);
  if (!m || m.slice(1, 5).some((x) => Number(x) > 255)) {
    throw bad(part, s, `${quote(s)} must be an IPv4 address; names are not looked up, and options begin with ?`);
  }
  if (m[5] === undefined) throw bad(part, s, `has no port; write ${s}:6676`);
  const port = /^[0-9]{1,5}$/.test(m[5]) ? Number(m[5]) : 0;
  if (port < 1 || port > 65535) throw bad(part, s, "must end with a port from 1 to 65535");
  return { host: m.slice(1, 5).map(Number).join("."), port };
}
