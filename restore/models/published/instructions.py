"""The instructions of pickles that files of weights need, each as a function of the machine (`machine.py`)."""

from __future__ import annotations

import codecs
import pickletools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restore.models.published.machine import Machine

__all__ = ["INSTRUCTIONS", "Inert", "Malformed", "Refused", "checked_dict"]

MOST_INT_BYTES = 32
MOST_DIGITS = 40  # of a number that is written as text
MOST_KEY_ITEMS = 64  # of a tuple that is the key of a dictionary, its own tuples included
CODES = {ord(op.code): op.name for op in pickletools.opcodes}


class Malformed(Exception):
    """A pickle breaks the rules of pickles: the file is damaged."""


class Refused(Exception):
    """A pickle keeps the rules, but does what no file of weights does."""


class Inert:
    """Stands for every object that is not a tensor or a container: it takes any arguments and does nothing."""

    def __init__(self, *args: Any) -> None: ...


def checked_dict(pairs: Any, charge: Callable[[int], None]) -> dict[Any, Any]:
    """Return a dictionary of pairs whose keys are plain and cheap to hash.

    Raises:
        Refused: a key is a list, a dictionary or a large tuple. Tuples within tuples that share their parts take
            exponential time to hash.
        Malformed: a pair is no pair.
    """
    result: dict[Any, Any] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise Malformed("a dictionary is made of something else than pairs")
        left = [pair[0]]
        count = 0
        while left:
            part = left.pop()
            count += 1
            if isinstance(part, tuple) and count + len(part) <= MOST_KEY_ITEMS:
                left.extend(part)
            elif isinstance(part, list | dict | tuple | set):
                raise Refused("a key of a dictionary is a list or a nest of tuples")
        charge(count)
        result[pair[0]] = pair[1]
    return result


def _int(raw: bytes) -> int:
    if len(raw) > MOST_INT_BYTES:
        raise Refused(f"it holds an integer of {len(raw)} bytes")
    return int.from_bytes(raw, "little", signed=True)


def _digits(raw: bytes) -> str:
    text = raw.decode("ascii").removesuffix("L")
    if len(text) > MOST_DIGITS:
        raise Refused(f"it holds a number of {len(text)} digits")
    return text


def _integer_line(machine: Machine) -> None:
    text = _digits(machine.line())
    machine.push({"00": False, "01": True}[text] if text in ("00", "01") else int(text))


def _text_line(machine: Machine) -> None:
    """Push a string of protocol 0: quoted, its odd characters escaped."""
    raw = machine.line()
    if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
        raise Malformed("a string has no quotes")
    machine.push(codecs.escape_decode(raw[1:-1])[0].decode("utf-8"))  # type: ignore[attr-defined]


def _mark(machine: Machine) -> None:
    machine.marks.append(len(machine.stack))


def _pop(machine: Machine) -> None:
    if machine.marks and len(machine.stack) == machine.marks[-1]:
        machine.marks.pop()
    else:
        machine.pop()


def _get(machine: Machine, index: int) -> None:
    if index not in machine.memo:
        raise Malformed(f"it takes number {index} of its memory, where there is nothing")
    machine.push(machine.memo[index])


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.top()


def _tuple(count: int) -> Callable[[Machine], None]:
    def make(machine: Machine) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.push(tuple(reversed(values)))

    return make


def _append(machine: Machine) -> None:
    value = machine.pop()
    machine.append(machine.top(), [value])


def _appends(machine: Machine) -> None:
    values = machine.items()
    machine.append(machine.top(), values)


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.assign(machine.top(), [key, value])


def _set_items(machine: Machine) -> None:
    pairs = machine.items()
    machine.assign(machine.top(), pairs)


def _dict(machine: Machine) -> None:
    pairs = machine.items()
    machine.push({})
    machine.assign(machine.top(), pairs)


def _call(machine: Machine) -> None:
    args, called = machine.pop(), machine.pop()
    machine.push(machine.call(called, args))


def _call_with_names(machine: Machine) -> None:
    named, args, called = machine.pop(), machine.pop(), machine.pop()
    if named != {}:
        raise Refused("it passes arguments by name, which no file of weights needs")
    machine.push(machine.call(called, args))


def _build(machine: Machine) -> None:
    state = machine.pop()
    machine.build(machine.top(), state)


def _global(machine: Machine) -> None:
    module, name = machine.line().decode("utf-8"), machine.line().decode("utf-8")
    machine.push(machine.named(module, name))


def _global_of_stack(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(machine.named(module, name))


def _protocol(machine: Machine) -> None:
    if machine.take(1)[0] > 5:
        raise Malformed("its protocol is none that is known")


def _constant(value: Any) -> Callable[[Machine], None]:
    return lambda machine: machine.push(value)


def _text(layout: str) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(layout)).decode("utf-8", "surrogatepass"))


def _bytes(layout: str) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.take(machine.number(layout)))


def _numbers(layout: str) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.number(layout))


STOP = ord(".")
BY_NAME: dict[str, Callable[[Machine], Any]] = {
    "PROTO": _protocol,
    "FRAME": lambda machine: machine.take(8),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "INT": _integer_line,
    "LONG": lambda machine: machine.push(int(_digits(machine.line()))),
    "FLOAT": lambda machine: machine.push(float(_digits(machine.line()))),
    "BININT": _numbers("<i"),
    "BININT1": _numbers("<B"),
    "BININT2": _numbers("<H"),
    "BINFLOAT": _numbers(">d"),
    "LONG1": lambda machine: machine.push(_int(machine.take(machine.number("<B")))),
    "LONG4": lambda machine: machine.push(_int(machine.take(machine.number("<i")))),
    "STRING": _text_line,
    "UNICODE": lambda machine: machine.push(machine.line().decode("raw-unicode-escape")),
    "BINSTRING": _text("<i"),
    "SHORT_BINSTRING": _text("<B"),
    "SHORT_BINUNICODE": _text("<B"),
    "BINUNICODE": _text("<I"),
    "BINUNICODE8": _text("<Q"),
    "SHORT_BINBYTES": _bytes("<B"),
    "BINBYTES": _bytes("<I"),
    "BINBYTES8": _bytes("<Q"),
    "EMPTY_LIST": lambda machine: machine.push([]),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_DICT": lambda machine: machine.push({}),
    "LIST": lambda machine: machine.push(machine.items()),
    "TUPLE": lambda machine: machine.push(tuple(machine.items())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "DICT": _dict,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "MARK": _mark,
    "POP": _pop,
    "POP_MARK": lambda machine: machine.items(),
    "DUP": lambda machine: machine.push(machine.top()),
    "GET": lambda machine: _get(machine, int(_digits(machine.line()))),
    "BINGET": lambda machine: _get(machine, machine.number("<B")),
    "LONG_BINGET": lambda machine: _get(machine, machine.number("<I")),
    "PUT": lambda machine: _put(machine, int(_digits(machine.line()))),
    "BINPUT": lambda machine: _put(machine, machine.number("<B")),
    "LONG_BINPUT": lambda machine: _put(machine, machine.number("<I")),
    "MEMOIZE": lambda machine: _put(machine, len(machine.memo)),
    "GLOBAL": _global,
    "STACK_GLOBAL": _global_of_stack,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "NEWOBJ_EX": _call_with_names,
    "BUILD": _build,
    "BINPERSID": lambda machine: machine.push(machine.persistent(machine.pop())),
}
INSTRUCTIONS = {code: BY_NAME[name] for code, name in CODES.items() if name in BY_NAME}
