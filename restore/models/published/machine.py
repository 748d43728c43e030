"""A machine that runs pickles of tensors and plain values, and can do nothing else.

A pickle is a program for a stack machine. Python's own machine imports whatever name the program says and calls it.
This one knows only the instructions that files of weights need. A name becomes what `Machine.find` returns for it,
nothing is imported, and every program ends after a bounded number of steps: each instruction costs one, and one more
for each item that it copies or hashes. So a file of a few hundred bytes cannot keep the machine busy, whatever it says.

Pickle protocols 0 to 5 are understood as far as `torch.save` has ever written them.
"""

from __future__ import annotations

import argparse
import codecs
import pickletools
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["MOST_STEPS", "Inert", "Machine", "Malformed", "Refused", "checked_dict"]

MOST_STEPS = 1_000_000  # thirty for each tensor of a file, so that there is room for 30,000 of them
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


class Machine:
    """Runs pickles; a subclass says what names and persistent ids stand for.

    Args:
        steps: how many steps all programs together may take.
    """

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.steps = steps
        self.data = b""
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def find(self, name: str) -> Any:
        """Return what stands for a dotted name: any value; one that is called must be a class or a function."""
        raise NotImplementedError

    def persistent(self, identity: Any) -> Any:
        """Return what stands for something that lies outside of the pickle."""
        raise NotImplementedError

    def run(self, data: bytes, at: int = 0) -> tuple[Any, int]:
        """Return the value of the program that begins at a byte, and where it ends.

        Raises:
            Malformed: the bytes are no whole pickle.
            Refused: the program takes too many steps or an instruction that no file of weights needs.
        """
        self.data, self.at = data, at
        self.stack, self.marks, self.memo = [], [], {}
        try:
            while True:
                self.charge(1)
                code = data[self.at]
                self.at += 1
                if code == STOP:
                    return self.pop(), self.at
                instruction = INSTRUCTIONS.get(code)
                if instruction is None:
                    if code not in CODES:
                        raise Malformed(f"there is no instruction {code}")
                    raise Refused(f"it uses {CODES[code]}, which no file of weights needs")
                instruction(self)
        except (struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise Malformed(str(error) or type(error).__name__) from None

    def charge(self, steps: int) -> None:
        """Count steps.

        Raises:
            Refused: there were too many.
        """
        self.steps -= steps
        if self.steps < 0:
            raise Refused("it takes more steps than any file of weights needs")

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            Malformed: there are not so many.
        """
        found = self.data[self.at : self.at + count]
        if count < 0 or len(found) != count:
            raise Malformed("it ends in the middle")
        self.at += count
        return found

    def line(self) -> bytes:
        """Return the bytes up to the end of the line."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise Malformed("it ends in the middle of a line")
        return self.take(end + 1 - self.at)[:-1]

    def number(self, layout: str) -> int:
        """Return the next bytes as a number."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def pop(self) -> Any:
        """Return the topmost value."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Malformed("it takes a value where there is none")
        return self.stack.pop()

    def top(self) -> Any:
        """Return the topmost value and leave it."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Malformed("it takes a value where there is none")
        return self.stack[-1]

    def items(self) -> list[Any]:
        """Return the values above the last mark."""
        if not self.marks:
            raise Malformed("it ends a list that has not begun")
        start = self.marks.pop()
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def call(self, called: Any, args: Any) -> Any:
        """Return what stands for the result of a call.

        Raises:
            Malformed: the called is no class or function, or the arguments are no tuple.
        """
        if not isinstance(args, tuple) or not callable(called):
            raise Malformed("it calls something that cannot be called")
        self.charge(len(args) + sum(len(value) for value in args if isinstance(value, list | tuple | dict)))
        return Inert() if called is Inert or isinstance(called, Inert) else called(*args)

    def build(self, target: Any, state: Any) -> None:
        """Give an object its fields; only those of a namespace are kept."""
        if not isinstance(target, argparse.Namespace):
            return
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise Malformed("the fields of a namespace are no names")
        self.charge(len(state))
        vars(target).update(state)

    def append(self, target: Any, values: list[Any]) -> None:
        """Put values at the end of a list."""
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Inert):
            raise Malformed("it appends to something else than a list")

    def assign(self, target: Any, pairs: list[Any]) -> None:
        """Put keys and values, by turns, into a dictionary."""
        if len(pairs) % 2:
            raise Malformed("a key has no value")
        if isinstance(target, dict):
            target.update(checked_dict(zip(pairs[::2], pairs[1::2], strict=True), self.charge))
        elif not isinstance(target, Inert):
            raise Malformed("it sets an item of something else than a dictionary")

    def named(self, module: Any, name: Any) -> Any:
        """Return what stands for a name."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Malformed("a name is no text")
        return self.find(f"{module}.{name}")


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
