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
from .core import Delivery, Loss
from .errors import (
    BackPressure, BlazeError, ClosedError, ConfigError, KindError, MalformedError, StateError, TooLargeError, TopicError, UnsupportedError,
)  # fmt: skip
from .message import Kind, Message, Value

__version__ = VERSION
__all__ = [
    "KIND_MESSAGE", "KIND_RAW", "BackPressure", "BlazeError", "Channel", "ClosedError", "ConfigError", "Delivery", "Kind", "KindError", "Loss",
    "MalformedError", "Message", "Protocol", "Publisher", "StateError", "Subscription", "TooLargeError", "TopicError", "UnsupportedError", "Value",
]  # fmt: skip
