"""A machine that runs pickles of tensors and plain values, and can do nothing else.

A pickle is a program for a stack machine. Python's own machine imports whatever name the program says and calls it.
This one knows only the instructions that files of weights need. A name becomes what `Machine.find` returns for it,
nothing is imported, and every program ends after a bounded number of steps: each instruction costs one, and one more
for each item that it copies or hashes. So a file of a few hundred bytes cannot keep the machine busy, whatever it says.

Pickle protocols 0 to 5 are understood as far as `torch.save` has ever written them.
"""

from __future__ import annotations

import argparse
import struct
from typing import Any

from restore.models.published.instructions import CODES, INSTRUCTIONS, STOP, Inert, Malformed, Refused, checked_dict

__all__ = ["MOST_STEPS", "Inert", "Machine", "Malformed", "Refused", "checked_dict"]

MOST_STEPS = 1_000_000  # thirty for each tensor of a file, so that there is room for 30,000 of them


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
