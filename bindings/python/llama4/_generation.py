"""Generating text: a prompt comes in, tokens and their text go out, each when it is asked for.

The loop is that of llama4_context_generate, step by step in Python so that it can be an iterator: a token is reported first and appended
by the next step's decode. So at every moment the sequence holds the prompt and all reported tokens but the last, and a step that fails
or is interrupted leaves it there."""
from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from . import _errors
from ._chat import ToolCall, parse_tool_calls
from ._image import Image, Picture, Rows
from ._native import WHOLE, Share, number
from ._sampler import Sampler
from ._vocab import token_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._context import Context

_IDLE = 2  # contexts that Model.chat keeps for its next call

#: Instead of Sampler: from a context whose last decode kept its last item's logits, and the tokens so far, to the next token
Chooser = Callable[["Context", List[int]], int]


class Token(NamedTuple):
    """One step of a generation."""

    id: int
    text: str  #: what it completed: often empty


class Generation(Iterator[Token]):
    """An iterator of Token(id, text), made by Context.generate.

    ids: the tokens so far. The last one is not yet part of the sequence: a conversation goes on by passing it first in the next prompt
    stopped: why it ended: "stop" (a stop token), "length" (max_tokens), "context" (full), "closed"; None while it goes on
    prompt_tokens: length of the prompt; reused_tokens of them were there already
    prompt_seconds, generate_seconds: wall time until the first new token, and of the rest
    """

    def __init__(self, context: Context, prompt: Iterable[int], *, sequence: int = 0, max_tokens: int = 0,
                 sampler: Optional[Sampler] = None, choose: Optional[Chooser] = None, ignore_stop: bool = False,
                 special_text: bool = False, fresh: bool = False, embeddings: Optional[NDArray[Any]] = None,
                 pictures: Sequence[Picture] = ()) -> None:
        """Not for you: Context.generate makes them. fresh: the prompt is all that the sequence shall hold. pictures: in place of embeddings"""
        context._enter()
        self.prompt: List[int] = token_array(prompt).tolist()
        if not self.prompt:
            raise _errors.argument("the prompt has no tokens")
        self.ids: List[int] = []
        self.stopped: Optional[str] = None
        self.prompt_tokens, self.reused_tokens = len(self.prompt), 0
        self.prompt_seconds = self.generate_seconds = 0.0
        self._context, self._sequence, self._fresh = context, sequence, fresh
        self._limit = number(max_tokens, "max_tokens", 0, 1 << 62)
        self._vocab = context.model._vocab
        self._detokenizer = self._vocab.detokenizer(special=special_text) if self._vocab else None
        self._ignore_stop = ignore_stop
        sampler = sampler if sampler or choose else Sampler(context.model)
        self._choose: Chooser = choose or (lambda c, _: c._sample(sampler))  # type: ignore[arg-type]
        self._embeddings, self._pictures = embeddings, pictures
        self._held = self.prompt  # what the sequence is remembered by: a picture's rows have numbers of their own
        if any(isinstance(p.what, Image) for p in pictures) and not context.model.info.vision_layers:
            raise _errors.state("the model has no picture encoder: name its file when you open it")
        self._room = 0     # positions that the context has
        self._before = 0   # length of the sequence before the prompt
        self._length = -1  # what it is when we leave; -1: not begun

    def __iter__(self) -> Generation:
        return self

    def __next__(self) -> Token:
        if self.stopped is not None:
            raise StopIteration
        began = time.perf_counter()
        try:
            if not self.ids:
                self._begin()
            else:
                self._context._decode_one(self.ids[-1], self._sequence, self._length)
            id = self._choose(self._context, self.ids)
            text = self._detokenizer.push(id) if self._detokenizer else ""
            self.ids.append(id)
        except BaseException:
            self._take_back()
            raise
        if len(self.ids) == 1:
            self.prompt_seconds = time.perf_counter() - began
        else:
            self._length += 1
            self.generate_seconds += time.perf_counter() - began
        if self._vocab and not self._ignore_stop and self._vocab.is_stop(id):
            self.stopped = "stop"
        elif 0 < self._limit <= len(self.ids):
            self.stopped = "length"
        elif self._length >= self._room:
            self.stopped = "context"
        if self.stopped and self._detokenizer:
            text += self._detokenizer.finish()
        return Token(id, text)

    def _begin(self) -> None:
        context, prompt = self._context, self.prompt
        self._room, share = context.info.context_length, WHOLE
        if self._pictures and len(prompt) > self._room:  # before they are encoded in vain
            raise _errors.full(f"the conversation has {len(prompt)} tokens, and the context holds {self._room} positions")
        if self._pictures:
            share = self._encode()
        if self._fresh:
            self.reused_tokens = context._keep_prefix(self._held)
        before = context.sequence_length(self._sequence)
        rest = prompt[self.reused_tokens:]
        if before + len(rest) > self._room:
            raise _errors.full(f"the prompt's {len(rest)} tokens do not fit: {before} of {self._room} positions are taken")
        self._before, self._length = before, before + len(rest)
        embeddings = self._embeddings
        if embeddings is not None and self.reused_tokens:
            embeddings = embeddings[prompt[:self.reused_tokens].count(self._patch()):]
        context._decode_array(rest, self._sequence, before, "last", embeddings if embeddings is not None and len(embeddings) else None, share)

    def _patch(self) -> int:
        token = self._vocab.find("<|patch|>") if self._vocab else None
        return -1 if token is None else token

    def _encode(self) -> Share:
        """The pictures' embeddings. What share of the whole work remains."""
        context, info = self._context, self._context.model.info
        images = [p.what.info(context.model).embeddings if isinstance(p.what, Image) else 0 for p in self._pictures]
        patches = sum(images) * (info.tile_size // info.patch_size) ** 2 / info.tile_tokens if sum(images) else 0.0
        work = patches * info.vision_parameters
        part = work / (work + len(self.prompt) * info.active_parameters) if work else 0.0
        made: List[Rows] = []
        for i, picture in enumerate(self._pictures):
            share = part * sum(images[:i]) / max(1, sum(images)), part * images[i] / max(1, sum(images))
            what = picture.what
            made.append(context._rows_of(what, share) if isinstance(what, Image) else (what._key, what.numbers))
        self._embeddings = np.concatenate([rows for _, rows in made])
        keys = (-(key << 24) - 1 - row for key, rows in made for row in range(len(rows)))
        patch = self._patch()
        self._held = [next(keys) if token == patch else token for token in self.prompt]
        return part, 1.0 - part

    def _remembered(self) -> List[int]:
        """What the sequence holds when this has ended."""
        return self._held + self.ids[:-1]

    def _take_back(self) -> None:
        """The sequence may hold a token too many, for a signal may strike between any two lines. If it is the prompt, and its beginning
        lies in an earlier chunk, it stays, and this is the end."""
        if self._length < 0:
            return
        try:
            length = self._length if self.ids else self._before
            if self._context.sequence_length(self._sequence) == (length + 1 if self.ids else self._length):
                self._context.truncate(length, sequence=self._sequence)
        except _errors.StateError:
            self.close()

    def close(self) -> None:
        """End it."""
        self.stopped = self.stopped or "closed"

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Answer(Iterator[str]):
    """An iterator of pieces of text, made by Model.chat and Context.chat; none is empty, and none ends inside a character.

    generation: the Generation underneath, with ids, numbers of tokens, times, and why it ended
    """

    def __init__(self, context: Context, home: Optional[List[Context]], generation: Generation) -> None:
        """Not for you: Model.chat makes them. home: where the context goes in the end; None: it is the user's"""
        self.generation = generation
        self._context: Optional[Context] = context
        self._home = home
        self._pieces: List[str] = []

    def __iter__(self) -> Answer:
        return self

    def __next__(self) -> str:
        try:
            for token in self.generation:
                if self.generation.stopped:
                    self._leave()
                if token.text:
                    self._pieces.append(token.text)
                    return token.text
        except BaseException:
            self.close()
            raise
        raise StopIteration

    @property
    def so_far(self) -> str:
        """The text that came already."""
        return "".join(self._pieces)

    def text(self) -> str:
        """The whole text, once it has come to its end."""
        for _ in self:
            pass
        return self.so_far

    def tool_calls(self) -> List[ToolCall]:
        """The function calls that the whole answer consists of; [] if it is an ordinary text."""
        return parse_tool_calls(self.text())

    @property
    def stopped(self) -> Optional[str]:
        """Why it ended: "stop", "length" (max_tokens), "context" (full), "closed"; None while it goes on."""
        return self.generation.stopped

    def close(self) -> None:
        """End it."""
        self.generation.close()
        self._leave()

    def _leave(self) -> None:
        """The context remembers what it holds and goes home, for whoever comes next."""
        context, self._context = self._context, None
        if context is None or context.closed:
            return
        g = self.generation
        if g.ids:
            try:
                context._remember(g._remembered())
            except _errors.Error:
                return
        if self._home is not None and len(self._home) < _IDLE:
            self._home.append(context)

    def __del__(self) -> None:
        if self.__dict__.get("_home") is not None and not sys.is_finalizing():
            self._leave()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

