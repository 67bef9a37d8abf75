#!/usr/bin/env python3
"""What one decode call costs through ctypes, over C: the generated function, and Context.decode on top of it.

    python_calls.py [MODEL]        needs a C compiler, and the llama4 package installed or LLAMA4_LIBRARY and PYTHONPATH set

C and Python take turns in one process, on one context with one thread, a token at a time at position 0. Printed are medians of all
rounds, and the median over the rounds of the difference. Exit status 1 if it is more than 10 microseconds."""
import ctypes
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import llama4
from llama4 import _ffi as ffi
from llama4._native import library

ROOT = pathlib.Path(__file__).resolve().parents[3]
LIMIT, ROUNDS, CALLS, TOKEN = 10.0, 60, 100, 5


def compile_c(folder):
    out = pathlib.Path(folder) / "decode.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", f"-I{ROOT}/include", ROOT / "tests/bench/overhead/decode.c",
                    "-o", out], check=True)
    function = ctypes.CDLL(str(out)).measure
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t, ctypes.POINTER(ctypes.c_double)]
    decode, truncate = (ctypes.cast(f, ctypes.c_void_p) for f in (library.llama4_context_decode, library.llama4_context_truncate))

    def run(context):
        seconds = (ctypes.c_double * CALLS)()
        status = function(decode, truncate, ctypes.cast(context._handle.pointer, ctypes.c_void_p), TOKEN, CALLS, seconds)
        assert status == 0, status
        return statistics.median(seconds) * 1e6

    return run


def times(call, context):
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
        context.truncate(0)
    return statistics.median(seconds) * 1e6


def main():
    model = llama4.Model.open(sys.argv[1] if len(sys.argv) > 1 else ROOT / "tests/golden/dense/model")
    context = model.context(threads=1, sequences=1)
    item = ffi.llama4_batch_item(token=TOKEN, position=-1, logits=1)
    error = ffi.llama4_error(struct_size=ctypes.sizeof(ffi.llama4_error))
    arguments = context._handle.pointer, ctypes.byref(item), 1, ctypes.sizeof(item), ctypes.byref(error)
    with tempfile.TemporaryDirectory() as folder:
        in_c = compile_c(folder)
        ways = {"C": in_c,
                "ctypes: llama4_context_decode": lambda c: times(lambda: library.llama4_context_decode(*arguments), c),
                "Python: Context.decode": lambda c: times(lambda: c.decode(TOKEN), c)}
        found = {name: [] for name in ways}
        for name in ways:
            ways[name](context)  # warm
        for _ in range(ROUNDS):
            for name, way in ways.items():
                found[name].append(way(context))
    worst = 0.0
    for name, values in found.items():
        over = statistics.median(a - b for a, b in zip(values, found["C"]))
        print(f"{name:32} {statistics.median(values):8.2f} us   {over:+6.2f} us over C")
        worst = max(worst, over)
    print(f"limit: {LIMIT} us over C: {'kept' if worst <= LIMIT else 'MISSED'}")
    return worst > LIMIT


if __name__ == "__main__":
    sys.exit(main())
