"""Sockets of one member (docs/protocol.md, "Addresses")."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
import struct
import sys
from urllib.parse import parse_qsl, urlsplit

from .core import unsupported
from .errors import ConfigError

DEFAULT_URI = "udp://239.255.66.76:6676"
BUFFER = 8 << 20  # bytes of receive buffer that are asked for
_LINUX = sys.platform == "linux"
_RCVBUFFORCE, _SNDBUFFORCE = 33, 32
_MULTICAST_ALL, _MTU_DISCOVER, _PMTUDISC_PROBE = 49, 10, 3
_OPTIONS = {"interface", "ttl", "mtu", "dscp", "loop"}

Address = tuple[str, int]


class Uri:
    """udp://GROUP:PORT?interface=eth0&ttl=1&mtu=1500&dscp=46&loop=on|off. Without interface it is loopback."""

    def __init__(self, text: str) -> None:
        parts = urlsplit(text)
        if parts.scheme in ("xdp", "pointcast"):
            raise unsupported(parts.scheme + "://")
        if parts.scheme not in ("udp", "auto"):
            raise ConfigError(f"{text!r}: the scheme has to be udp, as in {DEFAULT_URI}")
        try:
            self.group = str(ipaddress.IPv4Address(parts.hostname or ""))
            self.port = parts.port or 0
        except ValueError as e:
            raise ConfigError(f"{text!r}: {e}; an IPv4 multicast address and a port are needed, as in {DEFAULT_URI}") from None
        if not ipaddress.IPv4Address(self.group).is_multicast:
            raise ConfigError(f"{text!r}: {self.group} is no multicast address; 224.0.0.0 to 239.255.255.255 are")
        if not self.port:
            raise ConfigError(f"{text!r}: the port is missing, as in {DEFAULT_URI}")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        for name in options:
            if name in ("busypoll", "gso", "queue", "queues", "lanes", "mode", "zerocopy", "socket", "tap", "bind"):
                raise unsupported(f"the option {name}")
            if name not in _OPTIONS:
                raise ConfigError(f"{text!r}: unknown option {name!r}; there are {', '.join(sorted(_OPTIONS))}")
        self.interface = options.get("interface", "")
        self.ttl = self._number(options, "ttl", 1, 0, 255)
        self.mtu = self._number(options, "mtu", 0, 576, 9216)
        self.dscp = self._number(options, "dscp", 0, 0, 63)
        self.loop = options.get("loop", "auto") != "off"

    @staticmethod
    def _number(options: dict[str, str], name: str, default: int, least: int, most: int) -> int:
        if name not in options:
            return default
        try:
            n = int(options[name])
        except ValueError:
            n = -1
        if not least <= n <= most:
            raise ConfigError(f"{name}={options[name]}: a number from {least} to {most} is needed")
        return n


def _ioctl(name: str, request: int) -> bytes:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s.fileno(), request, struct.pack("256s", name.encode()[:15]))


def find_interface(name: str) -> tuple[str, int, int]:
    """The IPv4 address, the index and the MTU of an interface, which may also be named by its address."""
    if not name:
        name = "lo" if _LINUX else "127.0.0.1"
    try:
        return str(ipaddress.IPv4Address(name)), 0, 1500
    except ValueError:
        pass
    known = ", ".join(n for _, n in socket.if_nameindex())
    try:
        index = socket.if_nametoindex(name)
    except OSError:
        raise ConfigError(f"there is no interface {name!r}; this host has {known}") from None
    if not _LINUX:
        raise ConfigError(f"interface={name}: on this system an interface is named by its IPv4 address")
    flags = struct.unpack_from("<H", _ioctl(name, 0x8913), 16)[0]
    if not flags & 1:
        raise ConfigError(f"interface {name} is down; bring it up with: ip link set {name} up")
    try:
        address = socket.inet_ntoa(_ioctl(name, 0x8915)[20:24])
    except OSError:
        raise ConfigError(f"interface {name} has no IPv4 address; give it one with: ip addr add ADDRESS/24 dev {name}") from None
    return address, index, struct.unpack_from("<i", _ioctl(name, 0x8921), 16)[0]


class Transport:
    """The member's own socket, which everything leaves from and unicast comes to, and the group's.

    loss, from 0 to 1, loses that share of what comes and of what leaves, drawn from seed: for tests.
    """

    def __init__(self, uri: Uri, loss: float = 0, seed: int | None = None) -> None:
        self.address, index, mtu = find_interface(uri.interface)
        self.datagram = (uri.mtu or min(mtu, 1500)) - 28
        self.to: Address = (uri.group, uri.port)
        self.loss = loss
        self.random = random.Random(seed)
        self.send_errors = 0
        self.own = self._socket(uri)
        self.group = self._socket(uri)
        try:
            self.own.bind((self.address, 0))
            if index:
                mreqn = struct.pack("@4s4si", socket.inet_aton(uri.group), socket.inet_aton(self.address), index)
            else:
                mreqn = socket.inet_aton(uri.group) + socket.inet_aton(self.address)
            self.own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn if index else socket.inet_aton(self.address))
            self.own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1 if uri.loop else 0)
            self.own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, uri.ttl)
            self.group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT") and not _LINUX:
                self.group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                self.group.bind(("", uri.port) if sys.platform == "win32" else (uri.group, uri.port))
            except OSError as e:
                raise ConfigError(f"bind {uri.group}:{uri.port}: {e.strerror}; another program has this port for itself: choose another one") from None
            self.group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, mreqn)
            if _LINUX:
                self.group.setsockopt(socket.IPPROTO_IP, _MULTICAST_ALL, 0)
        except ConfigError:
            self.close()
            raise
        except OSError as e:
            self.close()
            raise ConfigError(f"cannot join {uri.group} on {uri.interface or 'loopback'}: {e}") from None
        self.room = self.group.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // (2 if _LINUX else 1)

    @staticmethod
    def _socket(uri: Uri) -> socket.socket:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        for force, plain in ((_RCVBUFFORCE, socket.SO_RCVBUF), (_SNDBUFFORCE, socket.SO_SNDBUF)):
            try:
                if not _LINUX:
                    raise OSError
                s.setsockopt(socket.SOL_SOCKET, force, BUFFER)
            except OSError:
                try:
                    s.setsockopt(socket.SOL_SOCKET, plain, BUFFER)
                except OSError:
                    pass
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, uri.dscp << 2)
        if _LINUX:
            s.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _PMTUDISC_PROBE)
        return s

    def receive(self, s: socket.socket) -> tuple[bytes, Address] | None:
        """The next datagram of a socket; None: there is none now."""
        while True:
            try:
                b, source = s.recvfrom(65536)
            except (BlockingIOError, InterruptedError):
                return None
            except OSError as e:
                if e.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
                    continue  # about something that was sent
                return None
            if self.loss and self.random.random() < self.loss:
                continue
            return b, source

    def send(self, b: bytes, to: Address | None) -> None:
        """Sends to one member, or to the group. What the host does not take is lost, as on the way."""
        if self.loss and self.random.random() < self.loss:
            return
        try:
            self.own.sendto(b, to or self.to)
        except OSError:
            self.send_errors += 1

    def close(self) -> None:
        self.own.close()
        self.group.close()
