"""Whether a model fits into memory and how fast it will be, before it is loaded, or even downloaded."""
from __future__ import annotations

import ctypes
import os
from typing import Any, Optional, Union

from . import _errors
from . import _ffi as ffi
from ._context import KV_TYPES
from ._model import memory_bytes
from ._native import Record, Reporter, encode, int32, library, new_error, number, path_bytes, raise_if, run

_RATES = "memory_rate", "compute_rate", "disk_rate", "decode_rate", "full_decode_rate", "prefill_rate"


class Plan(Record):
    """What a model needs and how it will run: the fields of llama4_plan_result. Rates are None where they are unknown."""

    fits: bool                         #: it runs in memory_bytes
    streamed: bool                     #: it does, but routed experts that pool_bytes do not hold are read when a token needs them
    guessed_shape: bool                #: of the model only totals were announced
    missing_files: int                 #: absent, or cut off behind their headers
    memory_bytes: int                  #: that the model may use
    least_bytes: int                   #: with fewer it cannot run
    whole_bytes: int                   #: with as many all weights stay in memory
    weight_bytes: int                  #: of the text model's tensors, as stored
    estimated_bytes: int               #: of those, not known from headers: shapes follow from the others, types probably
    resident_bytes: int                #: of weights that are always in memory
    pool_bytes: int                    #: for routed experts: what the rest leaves, or all of them; 0 if it does not fit
    kv_bytes: int                      #: of keys and values when the sequence is full
    scratch_bytes: int                 #: of intermediate results, vocabulary and tables
    expert_bytes: int                  #: of the largest routed expert
    experts: int                       #: routed experts, of all layers together
    cached_experts: int                #: of those, how many the pool holds
    context_length: int                #: positions
    parameters: int                    #: of the text model
    active_parameters: int             #: used for one token
    memory_rate: Optional[float]       #: bytes of weights per second that one token's products get through
    compute_rate: Optional[float]      #: operations per second of a prompt's products; a multiplication and an addition are two
    disk_rate: Optional[float]         #: bytes per second read from the file past the system's cache
    decode_rate: Optional[float]       #: tokens per second one by one, in the beginning of a sequence
    full_decode_rate: Optional[float]  #: the same at its end
    prefill_rate: Optional[float]      #: tokens per second of a prompt
    name: str                          #: as the file gives it, or ""
    type: str                          #: the type that most weight bytes have

    def __init__(self, struct: ffi.llama4_plan_result) -> None:
        super().__init__(struct)
        self.__dict__.update({name: getattr(struct, name) or None for name in _RATES})
        self.__dict__.update(fits=struct.fits != ffi.LLAMA4_FITS_NOT, streamed=struct.fits == ffi.LLAMA4_FITS_STREAMED,
                             guessed_shape=struct.guessed_shape != 0)


def plan(path: Union[str, os.PathLike[str], None] = None, *, shape: Optional[str] = None, type: Optional[str] = None,
         memory: Optional[int] = None, context_length: int = 0, batch_size: int = 0, threads: int = 0, kv_type: Optional[str] = None,
         measure: bool = False, memory_rate: Optional[float] = None, compute_rate: Optional[float] = None,
         disk_rate: Optional[float] = None) -> Plan:
    """What a model needs and how it will run on this machine, from the headers of its files alone: milliseconds for any model.

        plan = llama4.plan("scout-00001-of-00002.gguf", memory=24 << 30, measure=True)
        if plan.fits:
            print(plan.cached_experts, "of", plan.experts, "experts in memory,", plan.decode_rate, "tokens per second")

    path: a GGUF file, of which the first part is enough, or a directory with config.json
    shape: in place of a file: "scout", "maverick" or "behemoth"
    type: as for convert, of tensors that no file at hand tells of; None: "q4_0" for shapes
    memory: as for Model.open
    context_length: positions of one sequence; 0: 8192, or fewer if the model was made for fewer
    batch_size: tokens of the prompt that prefill_rate is about; 0: 512
    threads, kv_type: as for Context
    measure: find out the rates of this machine that are not given, in less than 2 seconds
    memory_rate, compute_rate, disk_rate: of an earlier plan
    """
    if kv_type not in KV_TYPES:
        raise _errors.argument(f"kv_type is {kv_type!r}, not 'i16', 'q8_0', 'f16' or 'f32'")
    params = ffi.llama4_plan_params(
        struct_size=ctypes.sizeof(ffi.llama4_plan_params), flags=ffi.LLAMA4_PLAN_MEASURE if measure else 0,
        shape=None if shape is None else encode(shape, "shape"), type=None if type is None else encode(type, "type"),
        memory_bytes=memory_bytes(memory), context_length=number(context_length, "context_length", 0, 1 << 62),
        batch_size=int32(batch_size, "batch_size"), threads=int32(threads, "threads"), kv_type=KV_TYPES[kv_type],
        memory_rate=memory_rate or 0, compute_rate=compute_rate or 0, disk_rate=disk_rate or 0)
    name = None if path is None else path_bytes(path)
    result, error = ffi.llama4_plan_result(struct_size=ctypes.sizeof(ffi.llama4_plan_result)), new_error()

    def call(job: Any) -> int:
        return library.llama4_plan(name, ctypes.byref(params), ctypes.byref(result), ctypes.byref(error)) if job.claim() else 0

    raise_if(run(call, Reporter(None), lambda: None), error, path)
    return Plan(result)
