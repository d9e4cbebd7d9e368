"""Pickles of bytes, numbers and plain arrays, read without running what they ask for.

The files of face verification sets are pickles, and a pickle is a program. Two guards stand before
it: only the instructions that build lists, tuples, bytes and numbers are let through, and the few
names of numpy that such a file may ask for stand for the small classes below, which can do nothing
but hold bytes.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Iterator
from math import prod
from typing import Any, ClassVar

from fiqa_fast.errors import FiqaError, InvalidArgumentError

_ALLOWED_OPCODES = re.compile(
    r"PROTO|FRAME|STOP|MARK|POP|POP_MARK|MEMOIZE|(LONG_)?(BIN)?(PUT|GET)|NONE|NEWTRUE|NEWFALSE"
    r"|INT|BININT[12]?|LONG[14]?|(SHORT_)?(BIN)?STRING|(SHORT_)?BINBYTES8?|BYTEARRAY8"
    r"|(SHORT_)?(BIN)?UNICODE8?|(EMPTY_)?LIST|APPENDS?|EMPTY_TUPLE|TUPLE[123]?"
    r"|GLOBAL|STACK_GLOBAL|REDUCE|BUILD"
)
_PUTS = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_GETS = frozenset(("GET", "BINGET", "LONG_BINGET"))
_ITEM_BYTES = {"b1": 1, "u1": 1, "i1": 1}
_REMEDY = (
    "where you trust the file, open it in an environment of your own and save its images and labels"
    " as image files with a pair list"
)


class PlainArray:
    """A numpy array of bool, uint8 or int8, as it stands in a pickle.

    Attributes:
        kind: "b1", "u1" or "i1".
        shape: of the array.
        content: its bytes, in C order; of more than one dimension, too.
    """

    __slots__ = ("content", "kind", "shape")

    def __init__(self) -> None:
        self.kind, self.content = "", b""
        self.shape: tuple[int, ...] = ()

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _damaged("the state of an array")
        _, shape, dtype, is_fortran, content = state
        self.fill(shape, dtype, content)
        if is_fortran and len(self.shape) > 1:
            raise _damaged("an array in the order of Fortran")

    def fill(self, shape: object, dtype: object, content: object) -> None:
        """Takes what stands in the file, if it fits together."""
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray):
            raise _damaged("an array without type or content")
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise _damaged("the shape of an array")
        if prod(shape) * _ITEM_BYTES[dtype.kind] != len(content):
            raise InvalidArgumentError(
                f"expected an array of shape {list(shape)[:4]} to have that many elements, got"
                f" {len(content)} bytes; the file is damaged: get it again"
            )
        self.kind, self.shape, self.content = dtype.kind, shape, bytes(content)


class _Dtype:
    """numpy.dtype of a pickle: one of the few kinds that are plain bytes."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __setstate__(self, state: object) -> None:
        # (version, byte order, subarray, names, fields, size, alignment, flags): there is no choice
        # in the order of single bytes, and nothing else may be set.
        if not (isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None,) * 3):
            raise _damaged("the state of a type")


class _Name:
    """Stands for a name that a pickle asks for: it can be called, and nothing else."""

    __slots__ = ()
    names: ClassVar[frozenset[str]]

    def __call__(self, *arguments: object) -> object:
        """Checks the arguments, which come from the file, and makes the plain thing."""
        raise _damaged(f"a call of {min(self.names)}")


class _NdarrayName(_Name):
    __slots__ = ()
    names = frozenset(("numpy.ndarray",))


class _DtypeName(_Name):
    __slots__ = ()
    names = frozenset(("numpy.dtype",))

    def __call__(self, *arguments: object) -> object:
        kind = _text(arguments[0]) if arguments else ""
        kind = {"|b1": "b1", "?": "b1", "|u1": "u1", "|i1": "i1"}.get(kind, kind)
        if kind not in _ITEM_BYTES:
            raise InvalidArgumentError(
                f"expected arrays of bool or of bytes, got the type {kind[:20]!r}; encode each"
                " image as bytes of an image file"
            )
        return _Dtype(kind)


class _ReconstructName(_Name):
    __slots__ = ()
    names = frozenset(
        ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
    )

    def __call__(self, *arguments: object) -> object:
        if not arguments or not isinstance(arguments[0], _NdarrayName):
            raise _damaged("an array of another class")
        return PlainArray()


class _FrombufferName(_Name):
    __slots__ = ()
    names = frozenset(("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"))

    def __call__(self, *arguments: object) -> object:
        if len(arguments) < 3:
            raise _damaged("an array without shape")
        array = PlainArray()
        array.fill(arguments[2], arguments[1], arguments[0])
        if len(array.shape) > 1 and _text(arguments[-1]) != "C":
            raise _damaged("an array in another order")
        return array


class _ScalarName(_Name):
    __slots__ = ()
    names = frozenset(("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"))

    def __call__(self, *arguments: object) -> object:
        if len(arguments) != 2:
            raise _damaged("a number without value")
        array = PlainArray()
        array.fill((), *arguments)
        if array.kind == "b1":
            return array.content != b"\0"
        return int.from_bytes(array.content, "little", signed=array.kind == "i1")


class _EncodeName(_Name):
    """How Python 3 writes bytes in the old protocols."""

    __slots__ = ()
    names = frozenset(("_codecs.encode",))

    def __call__(self, *arguments: object) -> object:
        if len(arguments) != 2 or not isinstance(arguments[0], str):
            raise _damaged("encoded bytes")
        if _text(arguments[1]) not in ("latin1", "latin-1"):
            raise _damaged(f"bytes in the encoding {_text(arguments[1])[:20]!r}")
        return arguments[0].encode("latin1")


class _BytesName(_Name):
    """How Python 3 writes empty bytes in the old protocols."""

    __slots__ = ()
    names = frozenset(("__builtin__.bytes", "builtins.bytes"))

    def __call__(self, *arguments: object) -> object:
        if arguments:
            raise _damaged("bytes")
        return b""


_NAMES: dict[str, _Name] = {
    name: stand_in()
    for stand_in in (
        _NdarrayName,
        _DtypeName,
        _ReconstructName,
        _FrombufferName,
        _ScalarName,
        _EncodeName,
        _BytesName,
    )
    for name in stand_in.names
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _find(f"{module}.{name}")


def read_plain_pickle(content: bytes) -> object:
    """What a pickle of any protocol holds, where that is plain data.

    Args:
        content: the file. Text of Python 2 becomes bytes.

    Returns:
        Lists, tuples, bytes, text, numbers, None, and `PlainArray` for arrays of numpy.

    Raises:
        InvalidArgumentError: it asks for other code (the message names it; nothing was run), it has
            other instructions than those for plain data, or it is damaged.
    """
    _check_program(content)
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except FiqaError:
        raise
    except Exception as error:  # damaged instructions make the unpickler raise nearly anything
        raise _damaged(f"content that cannot be read ({type(error).__name__}: {error})") from error


def _find(name: str) -> _Name:
    if name not in _NAMES:
        raise InvalidArgumentError(
            "expected a pickle of images and labels only, got one that needs the code of"
            f" {name[:200]}; nothing was run: {_REMEDY}"
        )
    return _NAMES[name]


def _check_program(content: bytes) -> None:
    """Reads the instructions without following them.

    A file of some bytes may claim a memo of 2^32 entries, which the unpickler would make room for;
    mappings and sets would call the hash of what is put into them, which takes for ever for some.
    """
    refused = ""
    for opcode, argument in _instructions(content):
        if opcode in ("GLOBAL", "STACK_GLOBAL", "INST") and argument:
            _find(str(argument))
        if _ALLOWED_OPCODES.fullmatch(opcode) is None:
            refused = refused or opcode
        if opcode in _PUTS and not 0 <= int(argument) <= len(content):
            refused = refused or f"{opcode} {argument}"
    if refused:
        raise InvalidArgumentError(
            "expected a pickle of lists, tuples, bytes and numbers, got"
            f" the instruction {refused}; {_REMEDY}"
        )


def _instructions(content: bytes) -> Iterator[tuple[str, Any]]:
    """Instructions with their arguments; those that name code with the name, where it is known."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    puts = 0
    try:
        for opcode, argument, _ in pickletools.genops(content):
            name = opcode.name
            if name == "STACK_GLOBAL":
                # Names that came there by another way are not known here; `find_class` sees them.
                yield name, ".".join(texts) if len(texts) == 2 and all(texts) else ""
                texts.append("")
                continue
            if name in ("GLOBAL", "INST"):
                yield name, str(argument).replace(" ", ".")
                texts.append("")
                continue
            if name in _PUTS or name == "MEMOIZE":
                memo[puts if argument is None else int(str(argument))] = texts[-1] if texts else ""
                puts += 1
            elif name in _GETS:
                texts.append(memo.get(int(str(argument)), ""))
            elif name == "POP":
                del texts[-1:]
            elif isinstance(argument, str) and "UNICODE" in name:
                texts.append(argument)
            elif name not in ("PROTO", "FRAME"):
                texts.append("")
            del texts[:-2]
            yield name, argument
    except Exception as error:  # cut off, or no pickle at all
        if isinstance(error, FiqaError):
            raise
        raise _damaged(f"one that ends early or is damaged ({error})") from error


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    return value if isinstance(value, str) else ""


def _damaged(found: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"expected a whole pickle of images and labels, got {found}; get the file again"
    )
