#!/usr/bin/env python3
"""llama.cpp, by way of llama-cpp-python, doing what the llama4 program does, for tests/bench/compare. Runs in the peer's own environment.

    peer.py bench MODEL [--prompt 512,4096] [--depth 0,8000] [--tokens 64] [--repeat 1] [--threads 2] [--mapped]
    peer.py quantize IN.gguf OUT.gguf TYPE [--mix] [--imatrix FILE]
    peer.py imatrix MODEL OUT --kl-base FILE
    peer.py perplexity MODEL --kl-base FILE [--threads 2]

One JSON object on standard output, with the names that llama4 bench --json and llama4 perplexity --json use.
"""
import argparse
import ctypes
import json
import os
import pathlib
import struct
import sys
import time

import numpy as np
import llama_cpp as lc

UBATCH = 512  # tokens computed together: llama.cpp's default, and ours
quiet = lc.llama_log_callback(lambda level, text, user: None)


def fail(text):
    sys.exit(f"peer: {text}")


class Context:
    def __init__(self, path, length, threads, mapped=False, callback=None):
        lc.llama_backend_init()
        began = time.perf_counter()
        params = lc.llama_model_default_params()
        params.n_gpu_layers = 0
        if mapped:  # weights stay in the file; repacked ones would be a copy of all of them
            params.load_mode, params.use_extra_bufts = lc.LLAMA_LOAD_MODE_MMAP, False
        self.model = lc.llama_model_load_from_file(os.fsencode(path), params)
        if not self.model:
            fail(f"{path} cannot be loaded")
        params = lc.llama_context_default_params()
        params.n_ctx = length
        params.n_batch = max(params.n_batch, UBATCH)
        params.n_ubatch = UBATCH
        params.n_threads = params.n_threads_batch = threads
        if callback:
            params.cb_eval = callback
        self.context = lc.llama_init_from_model(self.model, params)
        if not self.context:
            fail("no context")
        self.load_seconds = time.perf_counter() - began
        self.memory = lc.llama_get_memory(self.context)
        self.most = params.n_batch
        self.batch = lc.llama_batch_init(self.most, 0, 1)
        self.vocab_size = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(self.model))
        self.length = 0

    def decode(self, tokens, logits_from=None):
        """Appends tokens. Calls logits_from(index, row) for each from that index on; without it the last one's are computed."""
        first = len(tokens) - 1 if logits_from is None else logits_from[0]
        for start in range(0, len(tokens), self.most):
            piece = tokens[start:start + self.most]
            b = self.batch
            b.n_tokens = len(piece)
            for i, token in enumerate(piece):
                b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = int(token), self.length + i, 1, 0
                b.logits[i] = start + i >= first
            if lc.llama_decode(self.context, b) != 0:
                fail("llama_decode failed")
            lc.llama_synchronize(self.context)
            self.length += len(piece)
            if logits_from:
                for i in range(max(first - start, 0), len(piece)):
                    row = lc.llama_get_logits_ith(self.context, i)
                    logits_from[1](start + i, np.ctypeslib.as_array(row, shape=(self.vocab_size,)))

    def truncate(self, length):
        if length == 0:
            lc.llama_memory_clear(self.memory, False)
        elif not lc.llama_memory_seq_rm(self.memory, 0, length, -1):
            fail("a sequence cannot be shortened")
        self.length = length


def print_json(data):
    print(json.dumps({"peer": f"llama-cpp-python {lc.__version__}", "system": lc.llama_print_system_info().decode().strip(), **data}))


# ---- bench ----


def numbers(text):
    return sorted(int(x) for x in text.split(",")) if text else []


def bench(a):
    prompts, depths = numbers(a.prompt), numbers(a.depth)
    context = Context(a.model, max(prompts + [d + a.tokens for d in depths]), a.threads, a.mapped)
    rng = np.random.default_rng(1)

    def some(n):
        return rng.integers(0, context.vocab_size, n)

    context.decode(some(min((prompts or [1])[0], UBATCH)))
    tests = []
    for n in prompts:
        rates = []
        for _ in range(a.repeat):
            context.truncate(0)
            tokens = some(n)
            began = time.perf_counter()
            context.decode(tokens)
            rates.append(n / (time.perf_counter() - began))
        tests.append({"test": "prefill", "tokens": n, "depth": 0, "rates": rates})
    context.truncate(0)
    for depth in depths:
        if depth > context.length:
            context.decode(some(depth - context.length))
        rates = []
        for _ in range(a.repeat):
            tokens = some(a.tokens)
            began = time.perf_counter()
            for token in tokens:
                context.decode([token])
            rates.append(a.tokens / (time.perf_counter() - began))
            context.truncate(depth)
        tests.append({"test": "decode", "tokens": a.tokens, "depth": depth, "rates": rates})
    for t in tests:
        t["tokens_per_second"] = float(np.median(t["rates"]))
    print_json({"load_seconds": context.load_seconds, "tests": tests})


# ---- quantize ----


# What a type is called among llama.cpp's file types, where that is not LLAMA_FTYPE_MOSTLY_ and its name.
FILE_TYPES = {"F32": "LLAMA_FTYPE_ALL_F32", "MXFP4": "LLAMA_FTYPE_MOSTLY_MXFP4_MOE", "Q2_K": "LLAMA_FTYPE_MOSTLY_Q2_K_S",
              "Q3_K": "LLAMA_FTYPE_MOSTLY_Q3_K_S", "Q4_K": "LLAMA_FTYPE_MOSTLY_Q4_K_S", "Q5_K": "LLAMA_FTYPE_MOSTLY_Q5_K_S"}
NEEDS_IMPORTANCE = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "Q2_K"}


def matrices(path):
    """(name, dimensions) of the tensors of a GGUF file that have more than one."""
    data = pathlib.Path(path).read_bytes()
    at = 0

    def take(form):
        nonlocal at
        at += struct.calcsize(form)
        return struct.unpack_from(form, data, at - struct.calcsize(form))

    def text():
        nonlocal at
        n = take("<Q")[0]
        at += n
        return data[at - n:at].decode(errors="replace")

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, n = take("<IQ")
            for _ in range(n):
                skip(inner)
        else:
            at += {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind]

    _, _, n_tensors, n_keys = take("<4sIQQ")
    for _ in range(n_keys):
        text()
        skip(take("<I")[0])
    for _ in range(n_tensors):
        name, n = text(), take("<I")[0]
        dims = take(f"<{n}Q")
        take("<IQ")
        if n > 1:
            yield name, dims


def importance(path):
    """An importance of 1 for every column: some types refuse to be made without any."""
    kept, entries = [], []
    for name, dims in matrices(path):
        values = np.ones(dims[0] * (dims[2] if len(dims) > 2 else 1), np.float32)
        kept.append(values)
        entries.append(lc.llama_model_imatrix_data(name.encode(), values.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), values.size))
    entries.append(lc.llama_model_imatrix_data(None, None, 0))
    return (lc.llama_model_imatrix_data * len(entries))(*entries), kept


def quantize(a):
    name = a.type.upper()
    params = lc.llama_model_quantize_default_params()
    params.nthread = a.threads
    params.pure = not a.mix
    known = FILE_TYPES if not a.mix else {}
    params.ftype = getattr(lc, known.get(name, "LLAMA_FTYPE_MOSTLY_" + name), None)
    if params.ftype is None:
        fail(f"no file type {name}")
    if a.imatrix:
        params.imatrix, kept = read_imatrix(a.imatrix)
    elif name in NEEDS_IMPORTANCE:
        params.imatrix, kept = importance(a.model)
    if lc.llama_model_quantize(os.fsencode(a.model), os.fsencode(a.out), ctypes.byref(params)) != 0:
        fail(f"{a.model} cannot be quantised to {name}")
    print_json({"type": name, "bytes": os.path.getsize(a.out)})


# ---- base files of llama4 perplexity ----


class Base:
    def __init__(self, path):
        self.data = np.memmap(path, np.uint8, "r")
        magic, version, self.vocab, self.window, self.stride, self.rows, self.n_windows, self.n, self.bos, _ = struct.unpack("<8s7IiI", self.data[:44].tobytes())
        if magic != b"L4LOGPRB" or version != 1:
            fail(f"{path} is no base file")
        self.tokens = self.data[44:44 + 4 * self.n].view("<u4")
        self.at, self.size = 44 + 4 * self.n, 16 + 2 * self.vocab

    def windows(self):
        """(tokens as the model reads them, tokens as they are) of each window."""
        for w in range(self.n_windows):
            ids = self.tokens[w * self.stride:w * self.stride + self.window].astype(np.int64)
            targets = ids.copy()
            if self.bos >= 0:
                ids[0] = self.bos
            yield ids, targets

    def next_row(self):
        """Log-probabilities of the next scored token, and the most likely one."""
        row = self.data[self.at:self.at + self.size]
        self.at += self.size
        high, step = row[:8].view("<f4").astype(np.float64)
        values = high - step * row[16:].view("<u2").astype(np.float64)
        return values - np.log(np.exp(values).sum()), int(row[8:12].view("<u4")[0])


# ---- imatrix ----


class Tensor(ctypes.Structure):
    """The head of ggml_tensor."""


Tensor._fields_ = [("type", ctypes.c_int), ("buffer", ctypes.c_void_p), ("ne", ctypes.c_int64 * 4), ("nb", ctypes.c_size_t * 4), ("op", ctypes.c_int),
                   ("op_params", ctypes.c_int32 * 16), ("flags", ctypes.c_int32), ("src", ctypes.POINTER(Tensor) * 10), ("view_src", ctypes.c_void_p),
                   ("view_offs", ctypes.c_size_t), ("data", ctypes.c_void_p), ("name", ctypes.c_char * 64)]


def array(t, kind):
    """A tensor's numbers, the slowest dimension first."""
    raw = (ctypes.c_char * (sum((n - 1) * b for n, b in zip(t.ne, t.nb)) + np.dtype(kind).itemsize)).from_address(t.data)
    return np.ndarray(tuple(t.ne)[::-1], kind, raw, strides=tuple(t.nb)[::-1])


class Collector:
    """Sums of the squares that the columns of each matrix meet, as llama-imatrix takes them."""

    def __init__(self):
        self.sums, self.counts = {}, {}
        names = ctypes.CDLL(str(pathlib.Path(lc.__file__).parent / "lib/libggml-base.so")).ggml_op_name
        names.restype, names.argtypes = ctypes.c_char_p, [ctypes.c_int]
        self.op_name = names
        self.callback = lc.ggml_backend_sched_eval_callback(self.look)

    def look(self, pointer, ask, user):
        t = ctypes.cast(pointer, ctypes.POINTER(Tensor)).contents
        op = self.op_name(t.op)
        if op not in (b"MUL_MAT", b"MUL_MAT_ID"):
            return not ask
        weights, x = t.src[0].contents, t.src[1].contents
        name = weights.name.decode()
        if x.type != 0 or not (name.startswith("blk.") or name == "output.weight") or not name.endswith(".weight"):
            return not ask
        if ask:
            return True
        columns, matrices = x.ne[0], weights.ne[2] if op == b"MUL_MAT_ID" else 1
        sums = self.sums.setdefault(name, np.zeros((matrices, columns)))
        counts = self.counts.setdefault(name, np.zeros(matrices))
        squares = array(x, np.float32).astype(np.float64) ** 2
        if op == b"MUL_MAT":
            sums[0] += squares.reshape(-1, columns).sum(0)
            counts[0] += squares.size // columns
            return True
        ids = array(t.src[2].contents, np.int32)[0, 0]  # [tokens][experts used]
        for used in range(ids.shape[1]):
            np.add.at(sums, ids[:, used], squares[0, :, used % x.ne[1]])
            np.add.at(counts, ids[:, used], 1)
        return True


def write_imatrix(path, collector):
    """The form before GGUF: sums scaled so that one count, of calls, suits all matrices of an entry. Matrices that no token used get ones."""
    with open(path, "wb") as out:
        out.write(struct.pack("<i", len(collector.sums)))
        for name, sums in sorted(collector.sums.items()):
            counts = collector.counts[name][:, None]
            values = np.where(counts > 0, sums / np.maximum(counts, 1), 1).astype("<f4").tobytes()
            out.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 1, len(values) // 4) + values)


def read_imatrix(path):
    """What llama_model_quantize takes, and the arrays that it points to."""
    data, at = pathlib.Path(path).read_bytes(), 4
    kept, entries = [], []
    for _ in range(struct.unpack_from("<i", data)[0]):
        n = struct.unpack_from("<i", data, at)[0]
        name, (calls, count) = data[at + 4:at + 4 + n], struct.unpack_from("<ii", data, at + 4 + n)
        at += 12 + n
        kept.append(np.frombuffer(data, "<f4", count, at) / max(calls, 1))
        at += 4 * count
        entries.append(lc.llama_model_imatrix_data(name, kept[-1].ctypes.data_as(ctypes.POINTER(ctypes.c_float)), count))
    entries.append(lc.llama_model_imatrix_data(None, None, 0))
    return (lc.llama_model_imatrix_data * len(entries))(*entries), kept


def imatrix(a):
    """From the tokens of a base file, window after window."""
    collector = Collector()
    base = Base(a.kl_base)
    context = Context(a.model, base.window, a.threads, callback=collector.callback)
    for ids, _ in base.windows():
        context.truncate(0)
        context.decode(ids)
    write_imatrix(a.out, collector)
    print_json({"entries": len(collector.sums), "bytes": os.path.getsize(a.out)})


# ---- perplexity ----


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max()
    return x - np.log(np.exp(x).sum())


def perplexity(a):
    base = Base(a.kl_base)
    context = Context(a.model, base.window, a.threads)
    if context.vocab_size != base.vocab:
        fail("the vocabularies differ")
    losses, divergences, same = [], [], 0
    for ids, targets in base.windows():

        def look(i, logits):
            nonlocal same
            reference, top = base.next_row()
            model = log_softmax(logits)
            losses.append(-model[targets[i + 1]])
            divergences.append(float((np.exp(reference) * (reference - model)).sum()))
            same += int(np.argmax(logits)) == top

        context.truncate(0)
        context.decode(ids[:base.window - 1], (base.window - base.rows - 1, look))
    print_json({"tokens": base.n, "scored": len(losses), "perplexity": float(np.exp(np.mean(losses))), "divergence": float(np.mean(divergences)),
                "divergence_median": float(np.median(divergences)), "divergence_99": float(np.percentile(divergences, 99)),
                "same_top": same / len(losses)})


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = ap.add_subparsers(dest="command", required=True)
    for name, extra in (("bench", ()), ("quantize", ("out", "type")), ("imatrix", ("out",)), ("perplexity", ())):
        sub = commands.add_parser(name)
        sub.add_argument("model")
        for operand in extra:
            sub.add_argument(operand)
        sub.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
        if name == "bench":
            sub.add_argument("--prompt", default="512")
            sub.add_argument("--depth", default="0")
            sub.add_argument("--mapped", action="store_true", help="map the file, for models larger than memory")
            sub.add_argument("--tokens", type=int, default=64)
            sub.add_argument("--repeat", type=int, default=1)
        elif name == "quantize":
            sub.add_argument("--mix", action="store_true")
            sub.add_argument("--imatrix")
        else:
            sub.add_argument("--kl-base", required=True)
    a = ap.parse_args()
    lc.llama_log_set(quiet, None)
    {"bench": bench, "quantize": quantize, "imatrix": imatrix, "perplexity": perplexity}[a.command](a)


if __name__ == "__main__":
    main()
