"""Topics, patterns, lanes, and the hash of a cluster's name (docs/protocol.md, "Lanes and topics")."""

from __future__ import annotations

from .errors import TopicError

MAX_LEN = 255  # bytes


def fnv1a(data: bytes) -> int:
    """FNV-1a of 32 bits."""
    h = 0x811C9DC5
    for c in data:
        h = (h ^ c) * 0x01000193 & 0xFFFFFFFF
    return h


def lane_of(topic: str | bytes, lanes: int) -> int:
    """The lane that a topic is in."""
    if lanes <= 1:
        return 0
    return fnv1a(topic.encode() if isinstance(topic, str) else topic) % lanes


def cluster_hash(name: str) -> int:
    """FNV-1a of 64 bits: what every datagram has of Config.cluster."""
    h = 0xCBF29CE484222325
    for c in name.encode():
        h = (h ^ c) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def _check(text: str, wildcards: bool) -> None:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise TopicError(f"{text!a}: not UTF-8") from None
    if not raw:
        raise TopicError("it is empty")
    if len(raw) > MAX_LEN:
        raise TopicError(f"{text[:32]!a}…: {len(raw)} bytes, at most {MAX_LEN} allowed")
    if any(c < " " or "\x7f" <= c < "\xa0" for c in text):
        raise TopicError(f"{text!a}: it has a control character")
    elements = text.split(".")
    for i, e in enumerate(elements):
        if not e:
            raise TopicError(f"{text!a}: an element is empty")
        if "*" not in e and ">" not in e:
            continue
        if not wildcards:
            raise TopicError(f"{text!a}: * and > are for subscriptions")
        if len(e) > 1:
            raise TopicError(f"{text!a}: * and > must be whole elements")
        if e == ">" and i + 1 < len(elements):
            raise TopicError(f"{text!a}: > must be the last element")


def validate(topic: str) -> None:
    """Raises TopicError for what nobody can publish on."""
    _check(topic, False)


def validate_pattern(pattern: str) -> None:
    """Raises TopicError for what nobody can subscribe to."""
    _check(pattern, True)


def match(pattern: str, topic: str) -> bool:
    """Whether a topic, which may be anything, matches a valid pattern."""
    p, e = pattern.split("."), topic.split(".")
    if p[-1] == ">":
        p.pop()
        if len(e) < len(p):
            return False
        e = e[: len(p)]
    return len(p) == len(e) and all(x == "*" or x == y for x, y in zip(p, e))
