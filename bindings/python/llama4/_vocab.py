"""Vocabularies: text to token ids and back."""
from __future__ import annotations

import ctypes
import os
import threading
from array import array
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Union

import numpy as np

from . import _chat, _errors
from . import _ffi as ffi
from ._native import (
    Handle, Log, Owner, Progress, Reporter, address, int32, library, log_callback, new_error, path_bytes, raise_if, run)

Text = Union[str, bytes]


def as_bytes(text: Text) -> bytes:
    return text.encode("utf-8") if isinstance(text, str) else bytes(text)


def ids_of(call: Callable[[Any, int, Any, Any], int], guess: int) -> List[int]:
    """The ids that a call with (ids, capacity, count, error) writes. guess: of how many there are; not 0."""
    error, count = new_error(), ctypes.c_size_t()
    while True:
        ids = np.empty(guess, np.int32)
        status = call(address(ctypes.c_int32, ids), guess, ctypes.byref(count), ctypes.byref(error))
        if status != ffi.LLAMA4_ERR_CAPACITY:
            break
        guess = count.value
    raise_if(status, error)
    found: List[int] = ids[: count.value].tolist()
    return found


def bytes_of(call: Callable[[Any, int, Any, Any], int], guess: int) -> bytes:
    """The same for bytes."""
    error, count = new_error(), ctypes.c_size_t()
    while True:
        text = bytearray(guess)
        status = call(address(ctypes.c_char, text), guess, ctypes.byref(count), ctypes.byref(error))
        if status != ffi.LLAMA4_ERR_CAPACITY:
            break
        guess = count.value
    raise_if(status, error)
    return bytes(memoryview(text)[: count.value])


def token_array(tokens: Iterable[int]) -> array[int]:
    """An int32_t[] of ids, which are integers of any kind."""
    try:
        return array("i", tokens)
    except OverflowError:
        raise _errors.argument("a token id does not fit into 32 bits") from None


class Vocab(Owner):
    """A vocabulary. Immutable: any number of threads may use it at once. A model's is model.vocab; Vocab.open reads one alone."""

    def __init__(self, handle: Handle) -> None:
        """Not for you: Vocab.open and Model.vocab make them."""
        self._handle = handle

    @classmethod
    def open(cls, path: Union[str, os.PathLike[str]], *, progress: Optional[Progress] = None, log: Optional[Log] = None) -> Vocab:
        """From a GGUF file, a tokenizer.json, a tiktoken tokenizer.model, or a directory that holds one of the last two.

        progress: called with a fraction from 0 to 1; returning something true cancels
        log: called with a level (1 warning, 2 information) and a line of text
        """
        reporter = Reporter(progress)
        callbacks = ffi.llama4_progress_fn(reporter), log_callback(log)
        params = ffi.llama4_model_params(struct_size=ctypes.sizeof(ffi.llama4_model_params), progress=callbacks[0], log=callbacks[1])
        out, error, name = ctypes.POINTER(ffi.llama4_vocab)(), new_error(), path_bytes(path)

        def call(job: Any) -> Optional[Handle]:
            if not job.claim():
                return None
            status = library.llama4_vocab_open(name, ctypes.byref(params), ctypes.byref(out), ctypes.byref(error))
            return None if status else Handle(out, library.llama4_vocab_release, callbacks)

        handle = run(call, reporter, lambda: None)
        if handle is None:
            raise_if(error.status, error, path)
        assert handle is not None
        return cls(handle)

    def __len__(self) -> int:
        """Number of token ids, special ones included."""
        return int(library.llama4_vocab_get_size(self._get().pointer))

    def tokenize(self, text: Text, *, bos: bool = False, special: bool = False) -> List[int]:
        """Token ids of a text, exactly as Meta's tokeniser gives them.

        bos: put <|begin_of_text|> first
        special: recognise names of special tokens such as <|eot|> in the text: never for text of users
        """
        data, handle = as_bytes(text), self._get()
        flags = (ffi.LLAMA4_TOKENIZE_BOS if bos else 0) | (ffi.LLAMA4_TOKENIZE_SPECIAL if special else 0)
        return ids_of(lambda ids, room, count, error: library.llama4_vocab_tokenize(
            handle.pointer, data, len(data), flags, ids, room, count, error), len(data) + 1)

    def detokenize_bytes(self, tokens: Iterable[int], *, special: bool = False) -> bytes:
        """The bytes of a row of tokens, joined; any bytes, for a token may hold part of a character."""
        ids, handle = token_array(tokens), self._get()
        flags = ffi.LLAMA4_DETOKENIZE_SPECIAL if special else 0
        return bytes_of(lambda text, room, count, error: library.llama4_vocab_detokenize(
            handle.pointer, address(ctypes.c_int32, ids), len(ids), flags, text, room, count, error), 16 * len(ids) + 64)

    def detokenize(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """The text of a row of tokens. What is no valid UTF-8 becomes U+FFFD.

        special: write the names of special tokens, which otherwise give no text
        """
        return self.detokenize_bytes(tokens, special=special).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for, or the name of a special token."""
        id, handle = int32(token, "token"), self._get()
        return bytes_of(lambda text, room, count, error: library.llama4_vocab_token_bytes(
            handle.pointer, id, text, room, count, error), 256)

    def find(self, text: Text) -> Optional[int]:
        """The id of the token whose bytes, or for a special token whose name, are exactly these; None if there is none."""
        data = as_bytes(text)
        token = int(library.llama4_vocab_find(self._get().pointer, data, len(data)))
        return None if token < 0 else token

    def is_special(self, token: int) -> bool:
        """Is it never produced from users' text, and invisible in detokenised text?"""
        return bool(self._flags(token) & ffi.LLAMA4_TOKEN_SPECIAL)

    def is_stop(self, token: int) -> bool:
        """Does generation end here?"""
        return bool(self._flags(token) & ffi.LLAMA4_TOKEN_STOP)

    def _flags(self, token: int) -> int:
        return int(library.llama4_vocab_token_flags(self._get().pointer, int32(token, "token")))

    def chat_tokenize(self, messages: Union[str, Sequence[Mapping[str, Any]]], *, bos: bool = True, header: bool = True) -> List[int]:
        """Token ids of a conversation, by Meta's rules; text of messages never gives special tokens.

        messages: dicts with "role" and "content", and for assistants "tool_calls" as in OpenAI's form; a plain string is one message
            of the user. "end": "eom" says that more of the same turn follows an assistant's message. "content" is a text, or a list of
            parts: texts, {"type": "text", "text": ...}, {"type": "image", "image": SOURCE} with whatever llama4.Image takes, an Image or
            Embeddings, {"type": "image_url", "image_url": {"url": "data:..."}}, and what video_frames makes. Sources other than strings
            may also stand there alone. A picture's <|patch|> ids hold the place of its embeddings
        bos: begin with <|begin_of_text|>
        header: end with the header that opens the assistant's answer
        """
        return self._chat_tokenize(*_chat.message_array(messages)[:2], bos=bos, header=header)

    def _chat_tokenize(self, items: Any, keep: Sequence[Any], *, bos: bool = True, header: bool = True) -> List[int]:
        flags = (0 if bos else ffi.LLAMA4_CHAT_NO_BOS) | (0 if header else ffi.LLAMA4_CHAT_NO_HEADER)
        handle, guess = self._get(), 64 * len(items) + sum(len(text) for text in keep if isinstance(text, bytes)) + 64
        return ids_of(lambda ids, room, count, error: library.llama4_chat_tokenize(
            handle.pointer, items, len(items), ctypes.sizeof(ffi.llama4_message), flags, ids, room, count, error), guess)

    def detokenizer(self, *, special: bool = False) -> Detokenizer:
        return Detokenizer(self, special=special)

    def __repr__(self) -> str:
        return "<llama4.Vocab, closed>" if self.closed else f"<llama4.Vocab of {len(self)} tokens>"


class Detokenizer(Owner):
    """Turns tokens into text one at a time, never splitting a character: bytes wait until it is complete."""

    def __init__(self, vocab: Vocab, *, special: bool = False) -> None:
        """special: write the names of special tokens, which otherwise give no text"""
        out, error, owner = ctypes.POINTER(ffi.llama4_detokenizer)(), new_error(), vocab._get()
        flags = ffi.LLAMA4_DETOKENIZE_SPECIAL if special else 0
        raise_if(library.llama4_detokenizer_create(owner.pointer, flags, ctypes.byref(out), ctypes.byref(error)), error)
        self._handle = Handle(out, library.llama4_detokenizer_release, owner)
        self._lock = threading.Lock()

    def push(self, token: int) -> str:
        """Add a token; the text that is complete, often empty."""
        return self._call(library.llama4_detokenizer_push, int32(token, "token"))

    def finish(self) -> str:
        """What still waits, as U+FFFD if it is incomplete; then start afresh."""
        return self._call(library.llama4_detokenizer_finish)

    def _call(self, function: Callable[..., int], *arguments: int) -> str:
        text, length, error, handle = ctypes.POINTER(ctypes.c_char)(), ctypes.c_size_t(), new_error(), self._get()
        with self._lock:
            raise_if(function(handle.pointer, *arguments, ctypes.byref(text), ctypes.byref(length), ctypes.byref(error)), error)
            return ctypes.string_at(text, length.value).decode("utf-8") if length.value else ""
