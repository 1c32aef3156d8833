"""Bodies of requests: unpacked within the server's limit, and read as the type that a dialect has for them."""

from __future__ import annotations

import re
import typing
import zlib
from typing import Any, TypeVar

import msgspec

from liteft.errors import closest
from liteft.serving.http import Request
from liteft.serving.refusals import Refused, refused_input, too_large

__all__ = ["body_of", "decoded"]

Kind = TypeVar("Kind")

_EITHER = 32 + zlib.MAX_WBITS  # a header of gzip or of zlib, which is what HTTP calls deflate
_PLACE = re.compile(r"(?:Object contains unknown field `(?P<unknown>[^`]*)`)?.*?(?: - at `\$(?P<path>[^`]*)`)?", re.S)


async def body_of(request: Request) -> bytes:
    """Return the body of a request, unpacked if it was compressed.

    Raises:
        Refused: it has more bytes than are accepted, before or after unpacking, or its encoding is unknown or broken.
    """
    body = await request.body()
    encoding = request.headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        text = f"Content-Encoding must be gzip, deflate or identity, got {encoding!r}"
        raise Refused(415, "input", text)
    unpacking = zlib.decompressobj(_EITHER)
    try:
        unpacked = unpacking.decompress(body, request.most + 1)
    except zlib.error as error:
        raise refused_input(f"the body is not {encoding}, which its Content-Encoding names: {error}") from None
    if len(unpacked) > request.most:
        raise too_large("body", "bytes or more once it is unpacked", len(unpacked), request.most, "max_body_bytes")
    if not unpacking.eof or unpacking.unused_data:
        raise refused_input(f"the body is not one whole stream of {encoding}, which its Content-Encoding names")
    return unpacked


def decoded(decoder: msgspec.json.Decoder[Kind], body: bytes) -> Kind:
    """Return the value of a JSON body. Raises Refused if it is not what is expected; the text says where, and what is.

    The JSON is strict: NaN, infinite numbers and halves of surrogate pairs are not in it.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refused_input(f"the body cannot be read: {error}{_accepted(decoder.type, str(error))}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise refused_input(f"the body is not valid JSON in UTF-8: {error}") from None
    except RecursionError:
        raise refused_input("the body is not valid here: lists or objects are nested too deeply") from None


def _accepted(kind: Any, text: str) -> str:
    """Return which fields the object has that an error is about, if it is about an object's fields."""
    place = _PLACE.fullmatch(text)
    assert place is not None  # all of it is optional
    fields = _struct_in(kind)
    for name in re.findall(r"\.(\w+)", place["path"] or ""):
        hints = {} if fields is None else typing.get_type_hints(fields)
        fields = _struct_in(hints.get(name))
    if fields is None or not (text.startswith("Object ") or not place["path"]):
        return ""
    known = fields.__struct_fields__
    near = None if place["unknown"] is None else closest(place["unknown"], known)
    return f"; accepted fields: {', '.join(known)}" + (f"; did you mean {near!r}?" if near else "")


def _struct_in(kind: Any) -> type[msgspec.Struct] | None:
    """Return the first struct in a type: itself, or one of a union's or a list's."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    return next(filter(None, map(_struct_in, typing.get_args(kind))), None)
