"""What Llama's options do to logits before the sampler sees them: penalties on repetition, biases, and functions of the user."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

import numpy as np

from . import _errors
from ._context import Context
from ._native import int32
from ._sampler import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

LogitsProcessor = Callable[["NDArray[np.intc]", "NDArray[np.float32]"], Any]


class Chooser:
    """From logits to the next token. prompt: what the penalties look back on, besides the tokens generated so far."""

    def __init__(self, sampler: Sampler, prompt: List[int], *, repeat: float, frequency: float, presence: float, window: int,
                 bias: Optional[Mapping[Any, float]], processors: Sequence[LogitsProcessor]) -> None:
        for name, value in (("repeat_penalty", repeat), ("frequency_penalty", frequency), ("presence_penalty", presence)):
            if not math.isfinite(value):
                raise _errors.argument(f"{name} is {value}")
        if repeat <= 0:
            raise _errors.argument(f"repeat_penalty is {repeat}, not more than 0")
        self._sampler, self._prompt = sampler, prompt
        self._repeat, self._frequency, self._presence = map(np.float32, (repeat, frequency, presence))
        self._penalise = window > 0 and (repeat != 1 or frequency != 0 or presence != 0)
        self._window, self._processors = window, tuple(processors)
        self._bias: Dict[int, float] = {int32(int(token), "logit_bias"): float(value) for token, value in (bias or {}).items()}

    def __call__(self, context: Context, ids: List[int]) -> int:
        if not (self._penalise or self._bias or self._processors):
            return context._sample(self._sampler)
        logits = context.logits().copy()
        tokens = self._prompt + ids
        if self._penalise:
            self._look_back(logits, tokens[-self._window:])
        for token, bias in self._bias.items():
            if not 0 <= token < logits.size:
                raise _errors.argument(f"logit_bias: token {token} is not in 0 .. {logits.size - 1}")
            logits[token] += np.float32(bias)
        for processor in self._processors:
            logits = np.asarray(processor(np.array(tokens, np.intc), logits), np.float32)
        return self._sampler.sample(logits)

    def _look_back(self, logits: NDArray[np.float32], tokens: Iterable[int]) -> None:
        seen, count = np.unique(np.array(list(tokens)), return_counts=True)
        kept = seen < logits.size
        seen, count = seen[kept], count[kept].astype(np.float32)
        values = logits[seen]
        values = np.where(values > 0, values / self._repeat, values * self._repeat)
        logits[seen] = values - count * self._frequency - self._presence


class StopFilter:
    """Lets text pass until one of the stop strings comes; what may be the beginning of one waits."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [s for s in stops if s]
        self._waiting = ""
        self.hit = False

    def push(self, text: str) -> str:
        if self.hit:
            return ""
        text = self._waiting + text
        found = [at for at in (text.find(s) for s in self._stops) if at >= 0]
        if found:
            self.hit, self._waiting = True, ""
            return text[: min(found)]
        wait = max((n for s in self._stops for n in range(1, min(len(s), len(text) + 1)) if text.endswith(s[:n])), default=0)
        self._waiting = text[len(text) - wait:]
        return text[: len(text) - wait]

    def finish(self) -> str:
        text, self._waiting = self._waiting, ""
        return text
