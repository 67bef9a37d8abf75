"""What all classes need to stand on the generated module: the loaded library, owned pointers, errors, and calls that Ctrl-C can stop.

How Ctrl-C reaches a call. Python runs signal handlers in its main thread, between two instructions of Python code. While that
thread is inside the library there are none, so calls from the main thread that may take long are made by a helper thread, and the main
thread waits where a signal wakes it. If its handler raises, the library's work is cancelled and the exception goes on its way. A call
from any other thread is made right there: no signal would be seen in it anyway.
"""
from __future__ import annotations

import _thread
import ctypes
import functools
import itertools
import operator
import os
import pathlib
import queue
import sys
import sysconfig
import threading
from typing import Any, Callable, Optional, Tuple, TypeVar

from . import _errors
from . import _ffi as ffi

T = TypeVar("T")

Progress = Callable[[float], Any]
Log = Callable[[int, str], Any]

#: Where a call's progress begins, and how much of the whole work it is
Share = Tuple[float, float]
WHOLE: Share = 0.0, 1.0



def _find_library() -> Optional[str]:
    """LLAMA4_LIBRARY, for people who work on it; else the one that came with this package; None: the system's."""
    if os.environ.get("LLAMA4_LIBRARY"):
        return os.environ["LLAMA4_LIBRARY"]
    # Some systems install the two parts of a wheel, Python's and the machine's, in two places.
    for place in (pathlib.Path(__file__).resolve().parent.parent, pathlib.Path(sysconfig.get_path("platlib"))):
        for file in sorted((place / ".llama4.mesonpy.libs").glob("*llama4_python*")):
            if file.suffix in (".so", ".dylib", ".dll"):
                return str(file)
    return None


library = ffi.load(_find_library())

TICK = 0.03      # seconds: a signal that another thread took wakes nobody, so the main thread looks up now and then
PATIENCE = 0.05  # seconds that a cancelled call gets to come back before the exception goes on without it


def address(kind: Any, buffer: Any) -> Any:
    """For a pointer to kind, that is the beginning of a buffer which may be written, and which this keeps alive. None for an empty one."""
    return ctypes.byref(kind.from_buffer(buffer)) if len(buffer) else None


def new_error() -> ffi.llama4_error:
    return ffi.llama4_error(struct_size=ctypes.sizeof(ffi.llama4_error))


def failure(status: int, error: ffi.llama4_error) -> _errors.Error:
    text = error.message.decode("utf-8", "replace") if error.status else ""
    if not text:
        name = library.llama4_status_name(status)
        text = name.decode() if isinstance(name, bytes) else f"status {status}"
    error.status = 0
    return _errors.make(status, text)


def raise_if(status: int, error: ffi.llama4_error, *paths: Any) -> None:
    """paths: what was to be opened, to tell files that are not there from files that cannot be read."""
    if status == 0:
        return
    failed = failure(status, error)
    if isinstance(failed, _errors.FileError) and any(path is not None and not os.path.exists(path) for path in paths):
        failed = _errors.MissingFileError(failed.message, failed.status)
    raise failed


@functools.lru_cache(maxsize=64)
def row_type(length: int) -> Any:
    """float[length] whose instances can bear a lease: what keeps the memory alive."""
    return type("Row", (ctypes.Array,), {"_type_": ctypes.c_float, "_length_": length})


def number(value: Any, name: str, low: int, high: int) -> int:
    """A Python integer for a C one: ctypes would cut it to size."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if not low <= value <= high:
        raise _errors.argument(f"{name} is {value}, not in {low} .. {high}")
    return int(value)


def int32(value: Any, name: str) -> int:
    return number(value, name, -(1 << 31), (1 << 31) - 1)


class Handle:
    """One native object. It goes when the last reference to it goes: whoever needs it to live holds this. In a child that a fork made,
    it is left alone: the threads that would have to be joined did not come along.

    In a cycle, finalisers run in any order, so somebody's may come here after ours: pointer is None then."""

    __slots__ = ("_held", "_process", "_keep", "__del__", "__weakref__")

    __del__: Callable[[], object]

    def __init__(self, pointer: Any, release: Callable[[Any], Any], *keep: object) -> None:
        self._held = {"pointer": pointer}
        self._process = os.getpid()
        self._keep = keep
        # What a signal handler raises inside a finaliser in Python is lost, and to release a large model takes long. So there is no instruction
        # of Python in here: the pointer is taken out, and released if the process is still the same.
        pointers = iter(functools.partial(self._held.pop, "pointer", None), None)
        same = map(self._process.__eq__, iter(os.getpid, None))
        self.__del__ = functools.partial(next, map(release, itertools.compress(pointers, same)), None)

    @property
    def pointer(self) -> Any:
        return self._held.get("pointer")

    def here(self) -> bool:
        return self._process == os.getpid()


class Owner:
    """What has a handle: closing it lets go of the handle, and is harmless when repeated."""

    _handle: Optional[Handle] = None

    def _get(self) -> Any:
        handle = self._handle
        if handle is None or handle.pointer is None:
            raise _errors.state(f"this {type(self).__name__} is closed")
        return handle

    @property
    def closed(self) -> bool:
        return self._handle is None or self._handle.pointer is None

    def close(self) -> None:
        """Let go of the native object. It is freed when nothing else needs it any more."""
        self._handle = None

    def __enter__(self: T) -> T:
        self._get()  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied")


class Reporter:
    """What a llama4_progress_fn does: ask the function of the user, in the thread that made the call. It holds nothing that holds the
    native callback, so there is no cycle."""

    __slots__ = ("function", "cancelled", "error", "_events", "_replies", "_share")

    def __init__(self, function: Optional[Progress]) -> None:
        self.function = function
        self.begin(None, None)

    def begin(self, events: Optional[queue.SimpleQueue[Any]], replies: Optional[queue.SimpleQueue[bool]], share: Share = WHOLE) -> None:
        self._share = share
        self.cancelled = False
        self.error: Optional[BaseException] = None
        self._events, self._replies = events, replies

    def __call__(self, _user: object, fraction: float) -> int:
        try:
            if self.cancelled or self.function is None:
                return int(self.cancelled)
            fraction = self._share[0] + self._share[1] * fraction
            if self._events is None or self._replies is None:
                return int(bool(self.function(fraction)))
            self._events.put(fraction)
            return int(self._replies.get())
        except BaseException as e:  # nothing may pass through C
            self.error = e
            return 1


class Job:
    """One call that may take long, made by run(). The call asks claim() when it is about to enter the library: False means that
    nobody wants its result any more."""

    __slots__ = ("abandoned", "_reporter", "_share", "_claim", "_events", "_replies", "_result", "_error")

    def __init__(self, reporter: Reporter, share: Share = WHOLE) -> None:
        self.abandoned = False
        self._reporter, self._share = reporter, share
        self._claim = threading.Lock()
        self._events: Optional[queue.SimpleQueue[Any]] = None
        self._replies: Optional[queue.SimpleQueue[bool]] = None
        self._result: Any = None
        self._error: Optional[BaseException] = None

    def claim(self) -> bool:
        if not self._claim.acquire(blocking=False):
            return False
        self._reporter.begin(self._events, self._replies, self._share)
        return True

    def run_here(self, call: Callable[[Job], T]) -> T:
        try:
            return call(self)
        finally:
            error, self._reporter.error = self._reporter.error, None
            if error is not None:  # of the user's function: that is why the call was cancelled
                raise error

    def _work(self, call: Callable[[Job], Any], events: queue.SimpleQueue[Any]) -> None:
        try:
            self._result = call(self)
        except BaseException as e:
            self._error = e
        finally:
            events.put(None)

    def run_beside(self, call: Callable[[Job], T], cancel: Callable[[], Any]) -> T:
        events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        replies: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._events, self._replies = events, replies
        try:
            try:
                # Not a threading.Thread: each has a weak reference with a callback in Python, which runs here when the object is collected,
                # and what a signal handler raises in there is lost.
                _thread.start_new_thread(self._work, (call, events))
            except RuntimeError:  # the interpreter is on its way out, or out of threads
                self._events = self._replies = None
                return self.run_here(call)
            while True:
                try:
                    event = events.get(timeout=TICK)
                except queue.Empty:
                    continue
                if event is None:
                    break
                function = self._reporter.function
                replies.put(bool(function(event)) if function else False)
        except BaseException:
            self._abandon(events, replies, cancel)
            raise
        if self._error is not None:
            raise self._error
        result: T = self._result
        return result

    def _abandon(self, events: queue.SimpleQueue[Any], replies: queue.SimpleQueue[bool], cancel: Callable[[], Any]) -> None:
        if self._claim.acquire(blocking=False):
            return  # it has not entered the library, and now it never will
        self.abandoned = self._reporter.cancelled = True
        cancel()
        replies.put(True)
        try:
            while events.get(timeout=PATIENCE) is not None:
                replies.put(True)
        except queue.Empty:
            pass  # it cleans up behind our back; whoever comes next waits for it


def in_main_thread() -> bool:
    return threading.get_ident() == threading.main_thread().ident


def run(call: Callable[[Job], T], reporter: Reporter, cancel: Callable[[], Any], share: Share = WHOLE) -> T:
    """call(job), so that Ctrl-C stops it. cancel makes a call that has entered the library return soon; a call that asks its
    progress callback needs none."""
    job = Job(reporter, share)
    # A thread that is started while the interpreter ends never runs: before Python 3.12 its starter would wait for ever.
    return job.run_beside(call, cancel) if in_main_thread() and not sys.is_finalizing() else job.run_here(call)


def log_callback(function: Optional[Log]) -> Any:
    """A native callback for a function(level, message); the null callback for None."""
    if function is None:
        return ffi.llama4_log_fn()

    def log(_user: object, level: int, message: bytes) -> None:
        function(level, message.decode("utf-8", "replace"))

    return ffi.llama4_log_fn(log)


def encode(text: str, name: str) -> bytes:
    """For strings that C ends with NUL."""
    data = text.encode("utf-8")
    if 0 in data:
        raise _errors.argument(f"{name} contains a NUL character")
    return data


def path_bytes(path: Any) -> bytes:
    """Paths are UTF-8 for the library on every system; on POSIX whatever bytes the path has."""
    return encode(os.fspath(path), "path") if os.name == "nt" else _checked(os.fsencode(path))


def _checked(path: bytes) -> bytes:
    if 0 in path:
        raise _errors.argument("path contains a NUL character")
    return path


class Record:
    """A struct that the library filled, as attributes: the fields that llama4.h documents."""

    def __init__(self, struct: ctypes.Structure) -> None:
        for field in type(struct)._fields_:
            value = getattr(struct, field[0])
            if field[0] in ("struct_size", "reserved"):
                continue
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif isinstance(value, ctypes.Array):
                value = tuple(value)
            self.__dict__[field[0]] = value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no field {name}; there are {', '.join(self.__dict__)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("read only")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"
