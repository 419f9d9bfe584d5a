"""What this package raises."""

from __future__ import annotations


class BlazeError(Exception):
    """The base of all errors here."""


class ConfigError(BlazeError):
    """A setting, or the host, does not allow what was asked for. The text has the remedy."""


class UnsupportedError(ConfigError):
    """The Python member does not have this part."""


class TopicError(BlazeError, ValueError):
    """A topic or pattern that nobody can use."""


class MalformedError(BlazeError, ValueError):
    """No encoding of a Message, or a Message that cannot be encoded."""


class KindError(BlazeError, TypeError):
    """A value that has no kind, or another one."""


class TooLargeError(BlazeError):
    """A message above max_message_size."""


class BackPressure(BlazeError):
    """There is no room in the window now. Nothing has changed."""


class StateError(BlazeError):
    """The channel's state forbids the call."""


class ClosedError(BlazeError):
    """The channel or subscription was closed."""
