"""Prices as typed Messages, published and received through libblaze with Python's ctypes.

python3 prices.py path/to/libblaze.so
"""

import ctypes as c
import sys
import threading

blaze = c.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libblaze.so")
blaze.blaze_error.restype = c.c_char_p


class Id(c.Structure):
    _fields_ = [("bytes", c.c_uint8 * 16)]


class Delivery(c.Structure):
    _fields_ = [
        ("payload", c.c_void_p), ("length", c.c_size_t), ("topic", c.c_char_p), ("topic_length", c.c_size_t), ("sender", Id),
        ("sequence", c.c_uint64), ("received", c.c_int64), ("kind", c.c_uint32), ("reserved", c.c_uint32),
    ]  # fmt: skip


class Value(c.Structure):
    _fields_ = [
        ("kind", c.c_uint32), ("reserved", c.c_uint32), ("integer", c.c_int64), ("real", c.c_double), ("data", c.c_char_p),
        ("length", c.c_size_t), ("inner", c.c_uint64),
    ]  # fmt: skip


FLOAT64, TEXT = 9, 10
OnMessage = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(Delivery))


def call(name: str, *args) -> None:
    if code := getattr(blaze, "blaze_" + name)(*args):
        raise RuntimeError(f"{name}: {code}: {blaze.blaze_error().decode()}")


def made(name: str, *args) -> c.c_uint64:
    """Calls a function whose last argument is where it puts a handle."""
    handle = c.c_uint64()
    call(name, *args, c.byref(handle))
    return handle


done = threading.Event()


@OnMessage
def on_message(_arg, delivery) -> None:
    message = made("delivery_message", delivery)
    bid, symbol = c.c_double(), c.c_char_p()
    call("message_float64", message, b"bid", c.byref(bid))
    call("message_text", message, b"symbol", c.byref(symbol), None)
    print(delivery.contents.topic.decode(), symbol.value.decode(), bid.value, flush=True)
    call("close", message)
    done.set()


receiver = made("open", c.c_uint64(0), 1)
made("subscribe", receiver, b"prices.>", c.c_uint32(0), on_message, None, None)
call("start", receiver)
sender = made("open", c.c_uint64(0), 1)
call("start", sender)
publisher = made("publisher_open", sender, b"prices.acme")
call("wait_receivers", publisher, c.c_size_t(1), c.c_int64(30000))
message = made("message_new")
call("message_set", message, b"bid", c.byref(Value(kind=FLOAT64, real=99.5)))
call("message_set", message, b"symbol", c.byref(Value(kind=TEXT, data=b"ACME", length=4)))
call("broadcast", sender, b"prices.acme", message, c.c_int64(1000))
if not done.wait(30):
    sys.exit("no message came")
call("close", message)
call("close", sender)
call("close", receiver)
