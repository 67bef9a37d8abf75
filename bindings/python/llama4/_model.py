"""Models: files opened, ready to be used by any number of contexts."""
from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Mapping, Optional, Sequence, Union

import numpy as np

from . import _errors
from . import _ffi as ffi
from ._native import (
    Handle, Log, Owner, Progress, Record, Reporter, encode, int32, library, log_callback, new_error, number, path_bytes, raise_if,
    run)
from ._vocab import Text, Vocab

if TYPE_CHECKING:
    from ._context import Context
    from ._generation import Answer

Path = Union[str, "os.PathLike[str]"]


class ModelInfo(Record):
    """A model's shape: the fields of llama4_model_info. layers, vocab_size, context_length, parameters, active_parameters, name, type ..."""


class TensorInfo(Record):
    """One tensor as stored in its file: the fields of llama4_tensor_info."""


class MemoryInfo(Record):
    """What a model's weights take, and how its experts come into memory: the fields of llama4_memory_info. Counts start when the model is
    opened; where experts are not streamed, those from expert_bytes on are 0."""

    streaming: bool               #: experts are read when they are needed
    limit_bytes: Optional[int]    #: the budget; None: there is none
    used_bytes: int               #: of it now, contexts included; 0 without a budget
    resident_bytes: int           #: weights that stay in memory
    expert_bytes: int             #: that a routed expert takes in memory
    expert_count: int             #: routed experts of all layers
    expert_slots: int             #: of those in memory now, or on their way
    requests: int                 #: experts that batches needed; one counts once for each batch and layer
    hits: int                     #: of those, in memory when they were asked for
    read_ahead: int               #: experts read before they were asked for
    wasted: int                   #: of those, given up without having been used
    bytes_read: int               #: from the files since they were opened, resident weights included
    read_seconds: float           #: while something was being read
    wait_seconds: float           #: that decoding waited for experts
    guesses: int                  #: experts guessed a layer early by batches of few tokens
    guesses_right: int            #: of those; they are read ahead only while three quarters of the latest were
    direct: bool                  #: reads go past the system's cache; False: the file system refuses that

    def __init__(self, struct: ffi.llama4_memory_info) -> None:
        super().__init__(struct)
        self.__dict__.update(streaming=struct.streaming != 0, direct=struct.direct != 0, limit_bytes=struct.limit_bytes or None)

    @property
    def hit_rate(self) -> Optional[float]:
        """The share of requests that found their expert in memory; None: nothing was asked for."""
        return self.hits / self.requests if self.requests else None


class Model(Owner):
    """An open model. Immutable: any number of threads may use it at once.

        with llama4.Model.open("llama4-tiny.gguf") as model:
            for piece in model.chat("What is 11 + 3?"):
                print(piece, end="", flush=True)

    The files may change once it is open, unless experts are streamed, or pictures encoded from them."""

    def __init__(self, handle: Handle, threads: int = 0, context_length: int = 0, streaming: bool = False) -> None:
        """Not for you: Model.open makes them."""
        self._handle = handle
        self._threads, self._context_length, self._streaming = threads, context_length, streaming
        self._idle: List[Context] = []
        info, error = ffi.llama4_model_info(struct_size=ctypes.sizeof(ffi.llama4_model_info)), new_error()
        raise_if(library.llama4_model_get_info(handle.pointer, ctypes.byref(info), ctypes.byref(error)), error)
        self.info = ModelInfo(info)
        vocab = library.llama4_model_get_vocab(handle.pointer)
        self._vocab = Vocab(Handle(library.llama4_vocab_ref(vocab), library.llama4_vocab_release, handle._keep)) if vocab else None

    # ---- Opening ----

    @classmethod
    def open(cls, path: Path, *, vocabulary: Optional[Path] = None, vision: Optional[Path] = None, threads: int = 0, context_length: int = 0,
             progress: Optional[Progress] = None, log: Optional[Log] = None, cpu_level: int = 0, memory: Optional[int] = None,
             stream: bool = False, expert_slots: int = 0, header_only: bool = False) -> Model:
        """From a GGUF file (any part of a split one), or a Hugging Face directory.

        vocabulary: a tokenizer.json, tokenizer.model or GGUF file to take the vocabulary from
        vision: the picture encoder: a GGUF file of its own ("mmproj"), or a Hugging Face directory. A model that is itself such a directory
            brings its own
        threads, context_length: what contexts made from this model get if they are not told otherwise
        progress: called with a fraction from 0 to 1; returning something true cancels
        log: called with a level (1 warning, 2 information) and a line of text, also on behalf of contexts; perhaps from another thread
        cpu_level: caps the instruction set (LLAMA4_CPU_ in llama4.h); every level gives the same bits
        memory: bytes that weights, contexts and all that they grow to shall stay within; None: what the machine, or the process's control
            group, has. Experts that do not fit are read from the files when they are needed, with the same results. The vocabulary and
            pictures come on top. OutOfMemoryError tells how much is needed at least; llama4.plan knows before
        stream: read experts when they are needed even if all would fit
        expert_slots: at most so many routed experts in memory, 2 or more; 0: as many as fit
        header_only: read shapes and names only, for Model.info and Model.tensors
        """
        name = path_bytes(path)
        return cls._open(lambda *rest: library.llama4_model_open(name, *rest), path, (), vocabulary, vision, threads, context_length, progress,
                         log, cpu_level, memory, stream, expert_slots, header_only)

    @classmethod
    def open_memory(cls, data: Any, *, vocabulary: Optional[Path] = None, vision: Optional[Path] = None, threads: int = 0,
                    context_length: int = 0, progress: Optional[Progress] = None, log: Optional[Log] = None, cpu_level: int = 0,
                    memory: Optional[int] = None, stream: bool = False, expert_slots: int = 0) -> Model:
        """From the bytes of a single GGUF file, in anything that has a buffer (bytes, mmap, numpy). They are not copied: the model holds
        the buffer, and nobody may change it."""
        array = np.frombuffer(data, dtype=np.uint8)
        return cls._open(lambda *rest: library.llama4_model_open_memory(array.__array_interface__["data"][0], array.size, *rest), None, (array,),
                         vocabulary, vision, threads, context_length, progress, log, cpu_level, memory, stream, expert_slots, False)

    @classmethod
    def open_fd(cls, fd: int, *, vocabulary: Optional[Path] = None, vision: Optional[Path] = None, threads: int = 0,
                context_length: int = 0, progress: Optional[Progress] = None, log: Optional[Log] = None, cpu_level: int = 0,
                memory: Optional[int] = None, stream: bool = False, expert_slots: int = 0) -> Model:
        """From an open file descriptor of a single GGUF file, which is not closed, and may be closed once this returns."""
        number = int32(fd, "fd")
        return cls._open(lambda *rest: library.llama4_model_open_fd(number, *rest), None, (), vocabulary, vision, threads, context_length,
                         progress, log, cpu_level, memory, stream, expert_slots, False)

    @classmethod
    def _open(cls, function: Callable[..., int], path: Optional[Path], keep: Any, vocabulary: Optional[Path],
              vision: Optional[Path], threads: int, context_length: int, progress: Optional[Progress], log: Optional[Log], cpu_level: int,
              memory: Optional[int], stream: bool, expert_slots: int, header_only: bool) -> Model:
        reporter = Reporter(progress)
        callbacks = ffi.llama4_progress_fn(reporter), log_callback(log)
        params = ffi.llama4_model_params(
            struct_size=ctypes.sizeof(ffi.llama4_model_params),
            flags=(ffi.LLAMA4_MODEL_HEADER_ONLY if header_only else 0) | (ffi.LLAMA4_MODEL_STREAM if stream else 0),
            progress=callbacks[0], log=callbacks[1], vocabulary_path=None if vocabulary is None else path_bytes(vocabulary),
            cpu_level=int32(cpu_level, "cpu_level"), vision_path=None if vision is None else path_bytes(vision),
            memory_bytes=memory_bytes(memory), expert_slots=int32(expert_slots, "expert_slots"))
        out, error = ctypes.POINTER(ffi.llama4_model)(), new_error()

        def call(job: Any) -> Optional[Handle]:
            if not job.claim():
                return None
            status = function(ctypes.byref(params), ctypes.byref(out), ctypes.byref(error))
            return None if status else Handle(out, library.llama4_model_release, callbacks, keep)

        handle = run(call, reporter, lambda: None)
        if handle is None:
            raise_if(error.status, error, path, vocabulary, vision)
        assert handle is not None
        return cls(handle, threads, context_length, _memory(handle).streaming)

    # ---- What it is ----

    @property
    def vocab(self) -> Vocab:
        """Its vocabulary. Error if the files carry none."""
        self._get()
        if self._vocab is None:
            raise _errors.make(ffi.LLAMA4_ERR_NO_VOCABULARY, "the model has no vocabulary: name one when you open it")
        return Vocab(self._vocab._get())

    def tensors(self) -> List[TensorInfo]:
        """The tensors of the model's files."""
        handle, error, found = self._get(), new_error(), []
        for i in range(self.info.tensors):
            info = ffi.llama4_tensor_info(struct_size=ctypes.sizeof(ffi.llama4_tensor_info))
            raise_if(library.llama4_model_get_tensor(handle.pointer, i, ctypes.byref(info), ctypes.byref(error)), error)
            found.append(TensorInfo(info))
        return found

    def memory(self) -> MemoryInfo:
        """What it takes, and how its experts come into memory. Contexts may be at work meanwhile."""
        return _memory(self._running())

    def save_experts(self, path: Path) -> None:
        """Write which experts are in memory as a small file, for load_experts. StateError if the model does not stream any."""
        error, folder = new_error(), os.path.dirname(os.fspath(path))
        raise_if(library.llama4_model_save_experts(self._running().pointer, path_bytes(path), ctypes.byref(error)), error, folder or None)

    def load_experts(self, path: Path) -> None:
        """Start to read the experts that were in memory at save_experts, as many as there are free slots for, and return at once. Never
        changes results. FormatError for a model of another shape, StateError if the model does not stream experts."""
        error = new_error()
        raise_if(library.llama4_model_load_experts(self._running().pointer, path_bytes(path), ctypes.byref(error)), error, path)

    def _running(self) -> Handle:
        """The handle; StateError where the threads that read experts are missing."""
        handle: Handle = self._get()
        if self._streaming and not handle.here():
            raise _errors.state("the model streams experts and was opened before this process was forked off: its threads did not come along")
        return handle

    def tokenize(self, text: Text, *, bos: bool = False, special: bool = False) -> List[int]:
        """Token ids of a text; see Vocab.tokenize."""
        return self.vocab.tokenize(text, bos=bos, special=special)

    def detokenize(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """The text of a row of tokens; see Vocab.detokenize."""
        return self.vocab.detokenize(tokens, special=special)

    def _lean(self) -> Model:
        """Another one for the same native model, which keeps no contexts: contexts hold it, and there is no cycle."""
        return Model(self._get(), self._threads, self._context_length, self._streaming)

    # ---- What it does ----

    def context(self, **options: Any) -> Context:
        """A new Context(model, **options)."""
        from ._context import Context

        return Context(self, **options)

    def chat(self, messages: Union[str, Sequence[Mapping[str, Any]]], **options: Any) -> Answer:
        """Answer a conversation: an iterator of pieces of text, as they come. Options as for Context.chat.

        The context is made when it is needed and kept for the next call, which computes again only what is new. Calls may overlap, in
        one thread or several: each has a context of its own."""
        self._get()
        context = None
        while context is None or context.closed:
            try:
                context = self._idle.pop()
            except IndexError:
                context = self.context(sequences=1)
        return context._answer(messages, self._idle, **options)

    def close(self) -> None:
        """Let go of the model. It is freed when its contexts, samplers and answers are gone too."""
        super().close()
        self._vocab = None
        self._idle = []

    def __eq__(self, other: object) -> bool:
        """Do both stand for the same open model?"""
        return isinstance(other, Model) and self._handle is not None and self._handle is other._handle

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        i = self.info
        state = ", closed" if self.closed else ""
        return f"<llama4.Model {i.name!r}: {i.layers} layers, {i.parameters / 1e6:.1f} million parameters, {i.type}, {i.format}{state}>"


def memory_bytes(memory: Optional[int]) -> int:
    """A budget for the library, where 0 stands for none."""
    return 0 if memory is None else number(memory, "memory", 0, (1 << 63) - 1)


def _memory(handle: Handle) -> MemoryInfo:
    info, error = ffi.llama4_memory_info(struct_size=ctypes.sizeof(ffi.llama4_memory_info)), new_error()
    raise_if(library.llama4_model_get_memory(handle.pointer, ctypes.byref(info), ctypes.byref(error)), error)
    return MemoryInfo(info)


def convert(source: Path, target: Path, *, type: Optional[str] = None, vocabulary: Optional[Path] = None, vision: bool = False,
            imatrix: Optional[Path] = None, progress: Optional[Progress] = None, log: Optional[Log] = None) -> None:
    """Write the text part of a model, anything that Model.open takes, as one GGUF file.

    type: of matrices: "f32", "f16", "bf16", "q8_0", "q4_0" and more, see llama4_convert_params; None leaves them as they are
    vision: write the picture encoder, as a file for Model.open(vision=...), in place of the text part
    imatrix: an importance matrix of llama.cpp's llama-imatrix, which says where errors count more; needs a quantised type
    """
    reporter = Reporter(progress)
    callbacks = ffi.llama4_progress_fn(reporter), log_callback(log)
    params = ffi.llama4_convert_params(
        struct_size=ctypes.sizeof(ffi.llama4_convert_params), flags=ffi.LLAMA4_CONVERT_VISION if vision else 0, type=None if type is None else encode(type, "type"), log=callbacks[1],
        progress=callbacks[0], vocabulary_path=None if vocabulary is None else path_bytes(vocabulary),
        imatrix_path=None if imatrix is None else path_bytes(imatrix))
    error, names = new_error(), (path_bytes(source), path_bytes(target))

    def call(job: Any) -> int:
        return library.llama4_convert(*names, ctypes.byref(params), ctypes.byref(error)) if job.claim() else 0

    raise_if(run(call, reporter, lambda: None), error, source, vocabulary, imatrix)
