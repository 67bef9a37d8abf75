#!/usr/bin/env python3
"""Writes the first layers of a model with Scout's shapes and random weights of one type, as GGUF: for timing, not for reading.

    slice.py OUT.gguf --type Q4_0 [--layers 4] [--experts 16] [--width 5120] [--hidden 8192]

Full width (5120, 16 experts of 8192, 202048 tokens) unless told otherwise, no vocabulary, every matrix of that type but the routers. A few megabytes
of random blocks are written over and over, at random places: no memory for the whole is needed. The same arguments give the same bytes.
"""
import argparse
import os
import random
import struct

WIDTH, HIDDEN, DENSE, KV_HEADS, HEAD, VOCAB = 5120, 8192, 16384, 8, 128, 202048
LAYERS, EXPERTS = 4, 16
ALIGNMENT = 32
POOL_BYTES = 4 << 20
U32, F32, STRING = 4, 6, 8

# name: (number in GGUF, weights per block, bytes per block, [(place, size of the scale at that place)]). Payload bytes are any bytes, and
# sizes such that weights have a standard deviation of about 0.02. A scale is a half; its sign is drawn once for all scales of a block,
# which centres the weights of types that are not symmetric.
TYPES = {
    "F32": (0, 1, 4, None), "F16": (1, 1, 2, None), "BF16": (30, 1, 2, None),
    "Q4_0": (2, 32, 18, [(0, 0.0043)]), "Q4_1": (3, 32, 20, [(0, 0.0043), (2, -0.0322)]),
    "Q5_0": (6, 32, 22, [(0, 0.0022)]), "Q5_1": (7, 32, 24, [(0, 0.0022), (2, -0.0341)]), "Q8_0": (8, 32, 34, [(0, 0.00027)]),
    "Q2_K": (10, 256, 84, [(80, 0.00144), (82, 0.00216)]), "Q3_K": (11, 256, 110, [(108, 0.00047)]),
    "Q4_K": (12, 256, 144, [(0, 0.000078), (2, 0.00058)]), "Q5_K": (13, 256, 176, [(0, 0.000038), (2, 0.00059)]),
    "Q6_K": (14, 256, 210, [(208, 0.000015)]),
    "IQ2_XXS": (16, 256, 66, [(0, 0.0004)]), "IQ2_XS": (17, 256, 74, [(0, 0.0004)]), "IQ2_S": (22, 256, 82, [(0, 0.0004)]),
    "IQ3_XXS": (18, 256, 98, [(0, 0.00017)]), "IQ3_S": (21, 256, 110, [(0, 0.00016)]),
    "IQ1_S": (19, 256, 50, [(0, 0.0028)]), "IQ1_M": (29, 256, 56, "nibbles"),
    "IQ4_NL": (20, 32, 18, [(0, 0.00027)]), "IQ4_XS": (23, 256, 136, [(0, 0.0000145)]), "MXFP4": (39, 32, 17, "exponent"),
}


def half(x):
    return struct.pack("<e", x)


def block(kind, rnd):
    """One block of random weights."""
    _, weights, size, scales = TYPES[kind]
    if scales is None:
        value = struct.pack("<f", rnd.gauss(0, 0.02))
        return {"F32": value, "F16": half(struct.unpack("<f", value)[0]), "BF16": value[2:]}[kind]
    out = bytearray(rnd.getrandbits(8 * size).to_bytes(size, "little"))
    sign = rnd.choice((1, -1))
    if scales == "exponent":
        out[0] = 120
    elif scales == "nibbles":  # the four highest bits of four words behind 48 bytes are a half
        bits = struct.unpack("<H", half(0.0028 * sign))[0]
        for i in range(4):
            out[49 + 2 * i] = out[49 + 2 * i] & 0x0f | (bits >> 4 * i & 0xf) << 4
    else:
        for at, value in scales:
            out[at:at + 2] = half(value * sign)
    return bytes(out)


def heads(width):
    """Of queries; and of keys and values."""
    return width // HEAD, min(KV_HEADS, width // HEAD)


def tensors(kind, layers, experts, width=WIDTH, hidden=HIDDEN):
    """(name, type, dimensions with the fastest first) of every tensor."""
    queries, keys = heads(width)
    yield "token_embd.weight", kind, (width, VOCAB)
    yield "output_norm.weight", "F32", (width,)
    yield "output.weight", kind, (width, VOCAB)
    for i in range(layers):
        name = f"blk.{i}.{{}}.weight".format
        yield name("attn_norm"), "F32", (width,)
        for part, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield name("attn_" + part), kind, (width, rows * HEAD)
        yield name("attn_output"), kind, (queries * HEAD, width)
        yield name("ffn_norm"), "F32", (width,)
        yield name("ffn_gate_inp"), "F32", (width, experts)
        for part in ("gate", "up", "down"):
            shape = (hidden, width) if part == "down" else (width, hidden)
            yield name(f"ffn_{part}_exps"), kind, shape + (experts,)
            yield name(f"ffn_{part}_shexp"), kind, shape


def count(shape):
    n = 1
    for x in shape:
        n *= x
    return n


def tensor_bytes(kind, shape):
    _, weights, size, _ = TYPES[kind]
    return count(shape) // weights * size


def file_bytes(kind, layers, experts, width=WIDTH, hidden=HIDDEN):
    """About how large a slice is."""
    return sum(tensor_bytes(k, shape) for _, k, shape in tensors(kind, layers, experts, width, hidden)) + 65536


def header(kind, layers, experts, width=WIDTH, hidden=HIDDEN):
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    def key(name, code, value):
        return text(name) + struct.pack("<I", code) + (text(value) if code == STRING else struct.pack("<f" if code == F32 else "<I", value))

    queries, keys = heads(width)
    arch = [("block_count", layers), ("context_length", 10485760), ("embedding_length", width), ("feed_forward_length", DENSE),
            ("expert_feed_forward_length", hidden), ("expert_count", experts), ("expert_used_count", 1), ("interleave_moe_layer_step", 1),
            ("attention.head_count", queries), ("attention.head_count_kv", keys), ("attention.key_length", HEAD), ("attention.value_length", HEAD),
            ("rope.dimension_count", HEAD), ("vocab_size", VOCAB)]
    entries = [key("general.architecture", STRING, "llama4"), key("general.name", STRING, "Scout slice"),
               key("general.alignment", U32, ALIGNMENT)]
    entries += [key("llama4." + name, U32, value) for name, value in arch]
    entries += [key("llama4.rope.freq_base", F32, 500000.0), key("llama4.attention.layer_norm_rms_epsilon", F32, 1e-5),
                key("tokenizer.ggml.model", STRING, "no_vocab")]
    infos, at = [], 0
    for name, k, shape in tensors(kind, layers, experts, width, hidden):
        infos.append(text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", TYPES[k][0], at))
        at += tensor_bytes(k, shape)
        at += -at % ALIGNMENT
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(entries)) + b"".join(entries) + b"".join(infos)
    return head + b"\0" * (-len(head) % ALIGNMENT)


def write_tensor(out, name, kind, shape, pool, rnd):
    left = size = tensor_bytes(kind, shape)
    if kind == "F32" and len(shape) == 1:  # norms
        out.write(struct.pack("<f", 1.0) * shape[0])
    elif name.endswith("ffn_gate_inp.weight"):
        out.write(b"".join(struct.pack("<f", rnd.gauss(0, 0.05)) for _ in range(count(shape))))
    else:
        step = TYPES[kind][2]
        while left:
            at = rnd.randrange(len(pool) // step) * step
            piece = pool[at:at + left]
            out.write(piece)
            left -= len(piece)
    out.write(b"\0" * (-size % ALIGNMENT))


def write_slice(path, kind, layers=LAYERS, experts=EXPERTS, width=WIDTH, hidden=HIDDEN, seed=1):
    """Writes to another name first: a file that is there is whole."""
    rnd = random.Random(f"{kind} {layers} {experts} {seed}")
    pool = memoryview(b"".join(block(kind, rnd) for _ in range(POOL_BYTES // TYPES[kind][2])))
    part = f"{path}.part"
    try:
        with open(part, "wb") as out:
            out.write(header(kind, layers, experts, width, hidden))
            for name, k, shape in tensors(kind, layers, experts, width, hidden):
                write_tensor(out, name, k, shape, pool, rnd)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out")
    ap.add_argument("--type", default="Q4_0", choices=sorted(TYPES))
    ap.add_argument("--layers", type=int, default=LAYERS)
    ap.add_argument("--experts", type=int, default=EXPERTS)
    ap.add_argument("--width", type=int, default=WIDTH, help=f"a multiple of 256 (default {WIDTH})")
    ap.add_argument("--hidden", type=int, default=HIDDEN, help=f"of an expert, a multiple of 256 (default {HIDDEN})")
    a = ap.parse_args()
    write_slice(a.out, a.type, a.layers, a.experts, a.width, a.hidden)
    print(f"{a.out}: {os.path.getsize(a.out) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
