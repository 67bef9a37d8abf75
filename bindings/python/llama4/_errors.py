"""The library's errors as exceptions. Every one is an Error with .status and .message; those for which Python has a class of its own
are of that class too, so that ``except FileNotFoundError`` and its like do what they say."""
from __future__ import annotations

from typing import Any, Dict, Tuple, Type

from . import _ffi as ffi

__all__ = ["ArgumentError", "CancelledError", "ContextFullError", "Error", "FileError", "FormatError", "MissingFileError",
           "OutOfMemoryError", "StateError", "UnsupportedError"]


class Error(Exception):
    """A call of the library failed.

    status: one of the numbers LLAMA4_ERR_... of llama4.h, which are negative and never change their meaning
    message: one sentence that names the file, tensor or argument
    """

    status: int
    message: str

    def __init__(self, message: str, status: int = ffi.LLAMA4_ERR_ARGUMENT) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.message, self.status)


class ArgumentError(Error, ValueError):
    """An argument is out of range or contradicts another."""


class OutOfMemoryError(Error, MemoryError):
    """There is not enough memory. Nothing was changed."""


class FileError(Error, OSError):
    """A file cannot be opened, read or written."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


class FormatError(Error, ValueError):
    """A file is malformed, truncated or contradicts itself."""


class UnsupportedError(Error, NotImplementedError):
    """Something that this version, or this package, cannot do; the message names it."""


class CancelledError(Error):
    """A callback or Context.cancel() stopped the call, which undid what it had done."""


class ContextFullError(Error, ValueError):
    """The tokens do not fit into the context."""


class StateError(Error, RuntimeError):
    """The object is not in a state that allows the call: closed, for instance, or at work in this very call."""


_CLASSES: Dict[int, Type[Error]] = {
    ffi.LLAMA4_ERR_ARGUMENT: ArgumentError,
    ffi.LLAMA4_ERR_MEMORY: OutOfMemoryError,
    ffi.LLAMA4_ERR_IO: FileError,
    ffi.LLAMA4_ERR_FORMAT: FormatError,
    ffi.LLAMA4_ERR_UNSUPPORTED: UnsupportedError,
    ffi.LLAMA4_ERR_CANCELLED: CancelledError,
    ffi.LLAMA4_ERR_CONTEXT_FULL: ContextFullError,
    ffi.LLAMA4_ERR_STATE: StateError,
}


def make(status: int, message: str) -> Error:
    return _CLASSES.get(status, Error)(message, status)


def argument(message: str) -> ArgumentError:
    return ArgumentError(message, ffi.LLAMA4_ERR_ARGUMENT)


def unsupported(message: str) -> UnsupportedError:
    return UnsupportedError(message, ffi.LLAMA4_ERR_UNSUPPORTED)


def full(message: str) -> ContextFullError:
    return ContextFullError(message, ffi.LLAMA4_ERR_CONTEXT_FULL)


def state(message: str) -> StateError:
    return StateError(message, ffi.LLAMA4_ERR_STATE)
