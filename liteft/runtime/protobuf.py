"""The Protocol Buffers wire format, as far as reading an ONNX file needs it.

A message is a sequence of fields, each a number and a value of one of four kinds. Only a message's definition says
what its fields mean; only lengths and integers are decoded here, and nothing is copied.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Malformed", "Message", "Span", "fields", "integers", "signed"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LONGEST = 10  # bytes of a varint
_LONGEST_TEXT = 1 << 20
_MOST_FIELDS = 2_000_000  # of one file; a graph of 24 layers has about ten thousand

Span = tuple[int, int]


class Malformed(ValueError):
    """The bytes are not a valid message."""


class Message:
    """Reads the messages of one file, with a limit on the number of fields.

    Args:
        buffer: the file's bytes.
        most: maximum number of fields to read, of all messages together.
    """

    def __init__(self, buffer: memoryview, most: int = _MOST_FIELDS) -> None:
        self.bytes = buffer
        self._left = most

    @property
    def whole(self) -> Span:
        """The span of the outermost message."""
        return 0, len(self.bytes)

    def fields(self, span: Span) -> Iterator[tuple[int, int | Span]]:
        """Yield the fields of a message as (number, value); see ``fields``. Also raises Malformed beyond ``most``."""
        buffer, (place, end) = self.bytes, span
        while place < end:
            self._left -= 1
            if self._left < 0:
                raise Malformed("more fields than any graph has")
            key, place = (buffer[place], place + 1) if buffer[place] < 0x80 else _varint(buffer, place, end)
            number, kind = key >> 3, key & 7
            if number == 0:
                raise Malformed(f"a field without a number at byte {place}")
            if kind in (VARINT, BYTES):
                if place < end and buffer[place] < 0x80:
                    length, place = buffer[place], place + 1
                else:
                    length, place = _varint(buffer, place, end)
                if kind == VARINT:
                    yield number, length
                    continue
            elif kind in (FIXED64, FIXED32):
                length = 8 if kind == FIXED64 else 4
            else:
                raise Malformed(f"a field of unknown kind {kind} at byte {place}")
            stop = place + length
            if stop > end:
                raise Malformed(f"a field that ends past its message at byte {place}")
            yield number, (place, stop) if kind == BYTES else int.from_bytes(buffer[place:stop], "little")
            place = stop

    def integers(self, value: int | Span, most: int = 64) -> list[int]:
        """Return the result of `integers` for a value of at most ``most`` bytes."""
        if not isinstance(value, int) and value[1] - value[0] > most * _LONGEST:
            raise Malformed(f"a list of numbers that is too long at byte {value[0]}")
        return integers(self.bytes, value)

    def text(self, value: int | Span) -> str:
        """Return a string. Raises Malformed for a number, UnicodeDecodeError if it is not UTF-8."""
        start, stop = self.span(value)
        if stop - start > _LONGEST_TEXT:
            raise Malformed(f"a text of {stop - start:,} bytes at byte {start}")
        return str(self.bytes[start:stop], "utf-8")

    def one_text(self, span: Span, number: int) -> str:
        """Return a text field that may occur only once in a message."""
        found = [self.text(value) for each, value in self.fields(span) if each == number]
        if len(found) != 1:
            raise Malformed(f"{len(found)} names at byte {span[0]}")
        return found[0]

    @staticmethod
    def span(value: int | Span) -> Span:
        """Return the span of a message, string or list of numbers. Raises Malformed for a number."""
        if isinstance(value, int):
            raise Malformed("a number in place of a message")
        return value

    @staticmethod
    def number(value: int | Span) -> int:
        """Return a number, signed. Raises Malformed for anything else."""
        if not isinstance(value, int):
            raise Malformed("a message in place of a number")
        return signed(value)


def fields(buffer: memoryview, span: Span) -> Iterator[tuple[int, int | Span]]:
    """Yield the fields of a message as (number, value).

    Args:
        buffer: bytes.
        span: where the message begins and ends in them.

    Yields:
        The value is an unsigned int for numbers, and the span of its bytes for strings, messages and packed numbers.
        The caller checks which of the two it got: see ``integers``.

    Raises:
        Malformed: the bytes are not a valid message.
    """
    return Message(buffer).fields(span)


def integers(buffer: memoryview, value: int | Span) -> list[int]:
    """Return the signed 64-bit integers of a repeated field: a single one, or packed ones.

    Raises:
        Malformed: the bytes are not integers.
    """
    if isinstance(value, int):
        return [signed(value)]
    place, end = value
    found = []
    while place < end:
        number, place = _varint(buffer, place, end)
        found.append(signed(number))
    return found


def signed(value: int) -> int:
    """Return a varint as the int64 or int32 that it encodes."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(buffer: memoryview, place: int, end: int) -> tuple[int, int]:
    """Return an unsigned integer and where it ends."""
    value = 0
    for index in range(min(_LONGEST, end - place)):
        byte = buffer[place + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place + index + 1
    raise Malformed(f"an unterminated integer at byte {place}")
