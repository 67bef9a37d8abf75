"""Contexts: the state of running sequences."""
from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from . import _errors
from . import _ffi as ffi
from ._chat import message_array, with_tools
from ._generation import Answer, Generation
from ._image import Embeddings, Image, ImageSource, Rows
from ._native import (
    WHOLE, Handle, Job, Owner, Progress, Record, Reporter, Share, address, int32, library, new_error, number, raise_if, row_type, run)
from ._sampler import Sampler, chain
from ._vocab import Text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._model import Model

#: llama4_batch_item as a numpy type, for Context.decode_batch
BATCH_ITEM: Any = np.dtype(ffi.llama4_batch_item)
KV_TYPES = {None: ffi.LLAMA4_KV_DEFAULT, "i16": ffi.LLAMA4_KV_I16, "q8_0": ffi.LLAMA4_KV_Q8_0, "f16": ffi.LLAMA4_KV_F16, "f32": ffi.LLAMA4_KV_F32}
BRIEF = 0.02  # seconds: calls that should be done sooner are made without a helper thread
_ITEM_SIZE = ctypes.sizeof(ffi.llama4_batch_item)
_LIMIT = 1 << 31
_native_decode = library.llama4_context_decode
_get_ident = threading.get_ident
_getpid = os.getpid
_clock = time.perf_counter


class ContextInfo(Record):
    """What a context is and holds: the fields of llama4_context_info."""


class _Lease:
    """Lives as long as any view of a context's logits."""

    __slots__ = ("handle", "__weakref__")

    def __init__(self, handle: Handle) -> None:
        self.handle = handle


class Context(Owner):
    """The sequences that a model works on. It may move between threads but works for one at a time: others wait. cancel() is the one
    call that another thread may make meanwhile. While the library works, other Python threads run."""

    def __init__(self, model: Model, *, context_length: Optional[int] = None, threads: Optional[int] = None, batch_size: int = 0,
                 sequences: int = 0, kv_type: Optional[str] = None, progress: Optional[Progress] = None) -> None:
        """context_length: positions per sequence; 0 as the model was made for. Costs nothing until used
        threads: 0: one per processor
        batch_size: tokens computed together; 0: 2048, or 4096 when experts are streamed. With a budget of memory, fewer may be taken
        sequences: independent sequences, numbered from 0; 0: 64
        kv_type: how keys and values are kept: "i16", "q8_0", "f16" or "f32"; None is "i16"
        progress: called in the thread that decodes with a fraction from 0 to 1, in every layer of a decode of more than one token, and of
            pictures; returning something true cancels it
        """
        owner = model._running()
        if kv_type not in KV_TYPES:
            raise _errors.argument(f"kv_type is {kv_type!r}, not 'i16', 'q8_0', 'f16' or 'f32'")
        self._reporter = Reporter(progress)
        callback = ffi.llama4_progress_fn(self._reporter) if progress else ffi.llama4_progress_fn()
        params = ffi.llama4_context_params(
            struct_size=ctypes.sizeof(ffi.llama4_context_params),
            context_length=number(model._context_length if context_length is None else context_length, "context_length", 0, 1 << 62),
            threads=int32(model._threads if threads is None else threads, "threads"), batch_size=int32(batch_size, "batch_size"),
            sequences=int32(sequences, "sequences"), kv_type=KV_TYPES[kv_type], progress=callback)
        out, error = ctypes.POINTER(ffi.llama4_context)(), new_error()
        raise_if(library.llama4_context_create(owner.pointer, ctypes.byref(params), ctypes.byref(out), ctypes.byref(error)), error)
        self._handle = Handle(out, library.llama4_context_release, owner, callback)
        self._model = model._lean()
        self._lock = threading.Lock()
        self._caller = 0                # identity of the thread whose call is under way
        self._stale_cancel = False      # a cancellation of ours may still wait in the library for the next call
        self._pace = float("inf")       # seconds that the last single token took
        self._changes = 0               # calls that changed a sequence
        self._known: Tuple[int, List[int]] = (-1, [])  # _changes, and what sequence 0 held then
        self._items = 0                 # of the last decode
        self._rows = 0                  # most rows of logits that a decode ever asked for
        self._lease: Any = lambda: None
        self._error = new_error()
        self._one = ffi.llama4_batch_item(logits=1)
        self._one_reference, self._error_reference = ctypes.byref(self._one), ctypes.byref(self._error)

        self._row_type = row_type(model.info.vocab_size)

    # ---- Calls ----

    def _enter(self) -> Handle:
        handle = self._handle
        if handle is None or handle.pointer is None:
            raise _errors.state("this Context is closed")
        if self._caller == _get_ident():
            raise _errors.state("the context is at work: its callback cannot call it")
        if handle._process != _getpid():
            raise _errors.state("the context was made before this process was forked off: its threads did not come along")
        return handle

    def _cancel_own(self) -> None:
        handle = self._handle
        self._stale_cancel = True
        self._caller = 0
        if handle is not None:
            library.llama4_context_cancel(handle.pointer)

    def _call(self, native: Callable[[], int], n: int, rows: int, caller: int, job: Optional[Job]) -> None:
        """One call that works: of n tokens with so many rows of logits, or 0. The lock is held by the thread that is in here, whoever asked
        for it."""
        with self._lock:
            if job is not None and not job.claim():
                return
            if rows > self._rows:
                if self._lease() is not None:
                    raise BufferError("a view of the logits is alive, and asking for more rows than ever before may move them: delete the "
                                      "view, or work on a copy")
                self._rows = rows
            try:
                self._caller = caller  # in here, lest an interrupt leave it set
                if n:
                    self._changes += 1
                    self._items = 0
                began = _clock()
                status = native()
                if status == ffi.LLAMA4_ERR_CANCELLED:
                    # A cancellation of ours that came too late for its own call is not meant for this one. Nothing was changed yet.
                    # If this call is abandoned too, its own cancellation may come after the older one stopped it, and so still wait.
                    if self._stale_cancel and not (job is not None and job.abandoned):
                        self._stale_cancel = False
                        status = native()
            finally:
                self._caller = 0
            if status:
                raise_if(status, self._error)
            if n:
                self._items = n
            if n == 1:
                self._pace = _clock() - began

    def _decode(self, handle: Handle, items: Any, n: int, rows: int, embeddings: Optional[NDArray[np.float32]] = None,
                share: Share = WHOLE) -> None:
        caller = _get_ident()

        def native() -> int:
            if embeddings is None:
                return int(_native_decode(handle.pointer, items, n, _ITEM_SIZE, self._error_reference))
            numbers = ctypes.cast(embeddings.__array_interface__["data"][0], ctypes.POINTER(ctypes.c_float))
            return int(library.llama4_context_decode_embeddings(handle.pointer, items, n, _ITEM_SIZE, numbers, embeddings.size,
                                                                self._error_reference))

        if n * self._pace < BRIEF and (n == 1 or self._reporter.function is None):
            self._call(native, n, rows, caller, None)
        else:
            run(lambda job: self._call(native, n, rows, caller, job), self._reporter, self._cancel_own, share)

    def _decode_array(self, tokens: Any, sequence: int, position: int, logits: Union[str, bool, Sequence[bool]],
                      embeddings: Optional[NDArray[Any]] = None, share: Share = WHOLE) -> None:
        handle, ids = self._enter(), np.asarray(tokens)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise TypeError("tokens must be integers, in one row")
        n = ids.size
        if n == 0:
            raise _errors.argument("there are no tokens to decode")
        items = np.zeros(n, BATCH_ITEM)
        if ids.min() < (0 if embeddings is None else -1) or ids.max() > 0x7FFFFFFF:
            raise _errors.argument("a token id is negative, or does not fit into 32 bits")
        items["token"], items["sequence"] = ids, int32(sequence, "sequence")
        items["position"] = -1 if position < 0 else np.arange(position, position + n)
        if isinstance(logits, str):
            if logits not in ("last", "all", "none"):
                raise _errors.argument(f"logits is {logits!r}, not 'last', 'all' or 'none'")
            items["logits"][-1 if logits == "last" else slice(None)] = logits != "none"
        else:
            items["logits"] = logits
        if embeddings is not None:
            embeddings = np.ascontiguousarray(embeddings, np.float32)
        self._decode(handle, address(ffi.llama4_batch_item, items), n, int(np.count_nonzero(items["logits"])), embeddings, share)

    def _decode_one(self, token: int, sequence: int, position: int) -> None:
        """The call that generating text consists of, so it is kept short: Context.decode costs a few microseconds over C."""
        if not (self._pace < BRIEF and self._rows):
            self._decode_array([token], sequence, position, "last")
            return
        if not (-_LIMIT <= token < _LIMIT and -_LIMIT <= sequence < _LIMIT):
            raise _errors.argument("token or sequence does not fit into 32 bits")
        handle = self._enter()
        with self._lock:
            item = self._one
            item.token, item.sequence, item.position = token, sequence, position
            try:
                self._caller = _get_ident()
                self._changes += 1
                self._items = 0
                began = _clock()
                status = _native_decode(handle.pointer, self._one_reference, 1, _ITEM_SIZE, self._error_reference)
                if status == 0:
                    self._items = 1
                    self._pace = _clock() - began
                    return
            finally:
                self._caller = 0
            if not (status == ffi.LLAMA4_ERR_CANCELLED and self._stale_cancel):
                raise_if(status, self._error)
            self._stale_cancel = False  # meant for an earlier call: see _call
        self._decode_array([token], sequence, position, "last")

    def decode(self, tokens: Union[int, Iterable[int]], *, sequence: int = 0, logits: Union[str, bool, Sequence[bool]] = "last",
               embeddings: Optional[NDArray[Any]] = None) -> None:
        """Compute tokens and append them to a sequence. If it fails or is cancelled, the sequence is as it was.

        tokens: one id, or a row of them
        logits: which tokens' logits to keep: "last", "all", "none", or one truth value per token
        embeddings: float32, one row for each token that is -1, or <|patch|>, in their order
        """
        if type(tokens) is int and logits == "last" and embeddings is None:
            self._decode_one(tokens, sequence, -1)
        else:
            row = [tokens] if isinstance(tokens, (int, np.integer)) else tokens if hasattr(tokens, "__len__") else list(tokens)
            self._decode_array(row, sequence, -1, logits, embeddings)

    def decode_batch(self, items: Any) -> None:
        """Compute any mix of sequences together. A token's result never depends on what else the batch holds.

        items: an array of type llama4.BATCH_ITEM, or rows (token, sequence, position, logits): position -1 lets the library count, and
            logits says whether to keep the token's
        """
        handle = self._enter()
        if not (isinstance(items, np.ndarray) and items.dtype == BATCH_ITEM):
            items = np.array([(int32(t, "token"), int32(s, "sequence"), p, bool(keep), 0) for t, s, p, keep in items], BATCH_ITEM)
        items = np.array(items)  # contiguous, and nobody else's
        if items.ndim != 1 or items.size == 0:
            raise _errors.argument("items must be one row, and not empty")
        self._decode(handle, address(ffi.llama4_batch_item, items), items.size, int(np.count_nonzero(items["logits"])))

    def logits(self, item: int = -1) -> NDArray[np.float32]:
        """The logits of one token of the last decode, which must have asked for them; one number per id.

        item: its index in that batch; negative ones count from the end

        This is a view of the library's memory, not a copy, and read-only. The next call that changes the context overwrites it: take a
        .copy() of what you want to keep. Its memory lives as long as the view, even when the context is closed. While a view is alive, a
        decode that asks for more rows of logits than any before raises BufferError, for it might have to move them."""
        handle = self._enter()
        rows, error = ctypes.POINTER(ctypes.c_float)(), new_error()
        with self._lock:
            index = item + self._items if item < 0 else item
            if index < 0:
                raise _errors.argument(f"item {item}: the last decode had {self._items}")
            raise_if(library.llama4_context_logits(handle.pointer, index, ctypes.byref(rows), None, ctypes.byref(error)), error)
            lease = self._lease()
            if lease is None:
                lease = _Lease(handle)
                self._lease = weakref.ref(lease)
            block = self._row_type.from_address(ctypes.addressof(rows.contents))
            block.lease = lease
        view: NDArray[np.float32] = np.frombuffer(memoryview(block).toreadonly(), np.float32)
        return view

    def _sample(self, sampler: Sampler) -> int:
        """Draws from the logits of the last item."""
        handle = self._enter()
        rows, count, error = ctypes.POINTER(ctypes.c_float)(), ctypes.c_size_t(), new_error()
        with self._lock:
            raise_if(library.llama4_context_logits(handle.pointer, self._items - 1, ctypes.byref(rows), ctypes.byref(count),
                                                   ctypes.byref(error)), error)
            return sampler._draw(rows, count.value)

    # ---- Pictures ----

    def encode(self, source: Union[ImageSource, Image]) -> Embeddings:
        """Compute a picture's embeddings, which messages take in place of the picture, any number of times; sequences stay as they are.

        source: whatever llama4.Image takes, or one
        """
        return self._encode(source if isinstance(source, Image) else Image(source), WHOLE)

    def _encode(self, image: Image, share: Share) -> Embeddings:
        handle, picture, out = self._enter(), image._get(), ctypes.POINTER(ffi.llama4_embeddings)()
        caller, made = _get_ident(), []

        def native() -> int:
            status = int(library.llama4_image_encode(handle.pointer, picture.pointer, ctypes.byref(out), self._error_reference))
            if status == 0:
                made.append(Handle(out, library.llama4_embeddings_release, self._model._get()))
            return status

        run(lambda job: self._call(native, 0, 0, caller, job), self._reporter, self._cancel_own, share)
        return Embeddings._made(made[0], self._model.info.embedding_length)

    def _rows_of(self, image: Image, share: Share) -> Rows:
        """The same, once for an image and a model. The image keeps what was computed, but not the model."""
        model = self._model._get()
        seen = image._rows
        if seen is None or seen[0]() is not model:
            made = self._encode(image, share)
            seen = image._rows = weakref.ref(model), (made._key, made.numbers.copy())
        return seen[1]

    def cancel(self) -> None:
        """Make the decode that runs in another thread, or else the next one, raise CancelledError soon. From any thread."""
        handle = self._handle
        if handle is not None and handle.here():
            self._stale_cancel = False
            library.llama4_context_cancel(handle.pointer)

    # ---- Sequences ----

    def sequence_length(self, sequence: int = 0) -> int:
        """Positions that a sequence holds: its next position."""
        handle = self._enter()
        with self._lock:
            length = int(library.llama4_context_sequence_length(handle.pointer, int32(sequence, "sequence")))
        if length < 0:
            raise _errors.argument(f"there is no sequence {sequence}")
        return length

    def truncate(self, length: int = 0, *, sequence: int = 0) -> None:
        """Shorten a sequence to its first positions; 0 empties it. Layers with rotary positions keep the current chunk only, so
        lengths before its start, other than 0, raise StateError."""
        error, handle = new_error(), self._enter()
        length = number(length, "length", -(1 << 63), (1 << 63) - 1)
        with self._lock:
            self._changes += 1
            raise_if(library.llama4_context_truncate(handle.pointer, int32(sequence, "sequence"), length, ctypes.byref(error)), error)

    def fork(self, source: int, target: int) -> None:
        """Make one sequence a copy of another, sharing memory until they differ: a cheap way to reuse a common beginning."""
        error, handle = new_error(), self._enter()
        with self._lock:
            self._changes += 1
            raise_if(library.llama4_context_fork(handle.pointer, int32(source, "source"), int32(target, "target"),
                                                 ctypes.byref(error)), error)

    @property
    def info(self) -> ContextInfo:
        """What the context is and holds now."""
        info, error, handle = ffi.llama4_context_info(struct_size=ctypes.sizeof(ffi.llama4_context_info)), new_error(), self._enter()
        with self._lock:
            raise_if(library.llama4_context_get_info(handle.pointer, ctypes.byref(info), ctypes.byref(error)), error)
        return ContextInfo(info)

    def expert_counts(self, layer: int) -> NDArray[np.uint64]:
        """How tokens were routed: of those computed so far, how many went to each routed expert of a layer. All 0 for a dense layer."""
        counts, count, error, handle = np.zeros(self._model.info.experts, np.uint64), ctypes.c_size_t(), new_error(), self._enter()
        with self._lock:
            raise_if(library.llama4_context_get_expert_counts(handle.pointer, int32(layer, "layer"), address(ctypes.c_uint64, counts),
                                                              counts.size, ctypes.byref(count), ctypes.byref(error)), error)
        return counts

    @property
    def model(self) -> Model:
        """The model that it was made from."""
        return self._model

    # ---- Text ----

    def generate(self, prompt: Union[Text, Iterable[int]], *, sequence: int = 0, max_tokens: int = 0, sampler: Optional[Sampler] = None,
                 ignore_stop: bool = False, special_text: bool = False, embeddings: Optional[NDArray[Any]] = None) -> Generation:
        """Append a prompt to a sequence, then sample tokens and append them, one by one: an iterator of Token(id, text).

        prompt: token ids, or a text, which <|begin_of_text|> precedes if the sequence is empty
        max_tokens: 0: until a stop token comes or the context is full
        sampler: None takes the most likely token
        ignore_stop: go on past stop tokens
        special_text: write the names of special tokens into the text
        embeddings: of the prompt, as for decode
        """
        if isinstance(prompt, (str, bytes)):
            prompt = self._model.tokenize(prompt, bos=self.sequence_length(sequence) == 0)
        return Generation(self, prompt, sequence=sequence, max_tokens=max_tokens, sampler=sampler, ignore_stop=ignore_stop,
                          special_text=special_text, embeddings=embeddings)

    def chat(self, messages: Union[str, Sequence[Mapping[str, Any]]], *, max_tokens: int = 0, temperature: float = 0.6,
             top_p: float = 0.9, top_k: int = 0, min_p: float = 0.0, seed: Optional[int] = 0,
             sampler: Optional[Sampler] = None, tools: Optional[Sequence[Mapping[str, Any]]] = None) -> Answer:
        """Answer a conversation on sequence 0: an iterator of pieces of text, as they come.

        messages: dicts with "role" and "content"; or a string, which is one question. See Vocab.chat_tokenize, for pictures too
        max_tokens: 0: until the answer ends or the context is full
        temperature, top_p, top_k, min_p, seed: as in the llama4 program, with the same answers. Temperature 0 always takes the most
            likely token; seed None is another one each time
        sampler: takes the place of all of those
        tools: functions that the model may call, as in OpenAI's form; they become part of the system message. Answer.tool_calls() finds
            the calls

        What the sequence holds of an earlier call is not computed again; that changes no answer."""
        return self._answer(messages, None, max_tokens=max_tokens, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p,
                            seed=seed, sampler=sampler, tools=tools)

    def _answer(self, messages: Union[str, Sequence[Mapping[str, Any]]], home: Optional[List[Context]], *, max_tokens: int = 0,
                temperature: float = 0.6, top_p: float = 0.9, top_k: int = 0, min_p: float = 0.0, seed: Optional[int] = 0,
                sampler: Optional[Sampler] = None, tools: Optional[Sequence[Mapping[str, Any]]] = None) -> Answer:
        items, keep, pictures = message_array(with_tools(messages, tools))
        prompt = self._model.vocab._chat_tokenize(items, keep)
        if sampler is None:
            sampler = chain(self._model, temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed)
        return Answer(self, home, Generation(self, prompt, max_tokens=max_tokens, sampler=sampler, fresh=True, pictures=pictures))

    def _keep_prefix(self, prompt: List[int]) -> int:
        """Shortens sequence 0 to what it has in common with a prompt, of which at least one token is left. How long it is then."""
        changes, known = self._known
        common = 0
        if changes == self._changes:
            most = min(len(known), len(prompt) - 1)
            while common < most and known[common] == prompt[common]:
                common += 1
        self._known = -1, []
        try:
            self.truncate(common)
        except _errors.StateError:
            common = 0
            self.truncate(0)
        return common

    def _remember(self, tokens: List[int]) -> None:
        """Sequence 0 holds these."""
        if not self.closed and self.sequence_length() == len(tokens):
            self._known = self._changes, tokens

    def __repr__(self) -> str:
        return "<llama4.Context, closed>" if self.closed else f"<llama4.Context of {self._model!r}>"
