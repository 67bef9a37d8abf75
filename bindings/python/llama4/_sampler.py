"""Samplers: logits to the next token."""
from __future__ import annotations

import ctypes
import math
import os
import threading
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from . import _errors
from . import _ffi as ffi
from ._native import Handle, Owner, int32, library, new_error, number, raise_if

if TYPE_CHECKING:
    from ._model import Model

_FLOATS = ctypes.POINTER(ctypes.c_float)
SEED_MAX = (1 << 64) - 1


class Sampler(Owner):
    """A chain of steps, applied in the order in which they were added:

        sampler = llama4.Sampler(model, seed=1).temperature(0.6).top_p(0.9)

    An empty chain, or one that ends greedy, takes the most likely token; any other draws from what the steps left. The same seed,
    steps and logits give the same tokens on every machine. A sampler may move between threads."""

    def __init__(self, model: Model, seed: Optional[int] = 0) -> None:
        """seed: of the random numbers; None takes one from the system"""
        out, error, owner = ctypes.POINTER(ffi.llama4_sampler)(), new_error(), model._get()
        self.seed = _seed(seed)  #: the one that was given or taken
        raise_if(library.llama4_sampler_create(owner.pointer, self.seed, ctypes.byref(out), ctypes.byref(error)), error)
        self._handle = Handle(out, library.llama4_sampler_release, owner)
        self._lock = threading.Lock()

    def _add(self, function: Any, *values: Any) -> Sampler:
        error, handle = new_error(), self._get()
        with self._lock:
            raise_if(function(handle.pointer, *values, ctypes.byref(error)), error)
        return self

    def greedy(self) -> Sampler:
        """Only the most likely token remains."""
        return self._add(library.llama4_sampler_add_greedy)

    def temperature(self, temperature: float) -> Sampler:
        """Logits are divided by a number from 0 on; 0 is greedy. Meta's default is 0.6."""
        return self._add(library.llama4_sampler_add_temperature, _real(temperature, "temperature"))

    def top_k(self, k: int) -> Sampler:
        """Only the k most likely tokens remain; 0 keeps all."""
        return self._add(library.llama4_sampler_add_top_k, int32(k, "k"))

    def top_p(self, p: float) -> Sampler:
        """Tokens remain, most likely first, while the probability before them is at most p. Meta's default is 0.9."""
        return self._add(library.llama4_sampler_add_top_p, _real(p, "p"))

    def min_p(self, p: float) -> Sampler:
        """Tokens remain whose probability is at least p times that of the most likely one."""
        return self._add(library.llama4_sampler_add_min_p, _real(p, "p"))

    def reset(self, seed: Optional[int] = 0) -> None:
        """Start the random numbers again; the steps stay."""
        chosen = _seed(seed)
        self._add(library.llama4_sampler_reset, chosen)
        self.seed = chosen

    def sample(self, logits: Any) -> int:
        """Draw a token from a row of logits: Context.logits() or any array of numbers, which is not changed."""
        row = np.ascontiguousarray(logits, dtype=np.float32)
        if np.ndim(logits) != 1:
            raise _errors.argument(f"logits must be one row, not an array of {np.ndim(logits)} dimensions")
        return self._draw(ctypes.cast(row.__array_interface__["data"][0], _FLOATS), row.size)

    def _draw(self, logits: Any, count: int) -> int:
        token, error, handle = ctypes.c_int32(), new_error(), self._get()
        with self._lock:
            raise_if(library.llama4_sampler_sample(handle.pointer, logits, count, ctypes.byref(token), ctypes.byref(error)), error)
        return token.value


def _seed(seed: Optional[int]) -> int:
    return int.from_bytes(os.urandom(8), "little") if seed is None else number(seed, "seed", 0, SEED_MAX)


def _real(value: float, name: str) -> float:
    value = float(value)
    if math.isnan(value):
        raise _errors.argument(f"{name} is not a number")
    return value


def chain(model: Model, *, temperature: float, top_p: float, top_k: int, min_p: float, seed: Optional[int]) -> Optional[Sampler]:
    """What the llama4 program makes of the same options: temperature first, as in Meta's code; steps that would change nothing are
    left out. None is greedy."""
    if temperature == 0:
        return None
    sampler = Sampler(model, seed).temperature(temperature)
    if top_k:
        sampler.top_k(top_k)
    if top_p != 1:
        sampler.top_p(top_p)
    if min_p:
        sampler.min_p(min_p)
    return sampler
