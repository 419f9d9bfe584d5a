"""Blaze: reliable multicast with topics. A member in Python beside those in Go and other languages.

    import asyncio
    from blaze import Channel, Message

    async def main():
        async with Channel() as c:
            c.subscribe("greetings.>", print)
            await c.broadcast("greetings.world", Message(text="hello"))

`blaze.blocking` has the same for programs without an event loop, `blaze.core` the protocol without sockets.
"""

from ._version import VERSION
from .channel import KIND_MESSAGE, KIND_RAW, Channel, Protocol, Publisher, Subscription
from .core import Delivery, Loss, unsupported
from .errors import (
    BackPressure, BlazeError, ClosedError, ConfigError, KindError, MalformedError, StateError, TooLargeError, TopicError, UnsupportedError,
)  # fmt: skip
from .message import Kind, Message, Value

__version__ = VERSION


def GroupChannel(*_: object, **__: object) -> None:
    """Members, messages to one of them, queues and requests: not there yet."""
    raise unsupported("GroupChannel")


def ClusterChannel(*_: object, **__: object) -> None:
    """Replicated maps, locks and services: not there yet."""
    raise unsupported("ClusterChannel")


__all__ = [
    "KIND_MESSAGE", "KIND_RAW", "BackPressure", "BlazeError", "Channel", "ClosedError", "ClusterChannel", "ConfigError", "Delivery", "GroupChannel", "Kind", "KindError", "Loss",
    "MalformedError", "Message", "Protocol", "Publisher", "StateError", "Subscription", "TooLargeError", "TopicError", "UnsupportedError", "Value",
]  # fmt: skip
