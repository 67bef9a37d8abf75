#!/usr/bin/env python3
"""Write the seeds of fuzz_model to corpus/model: whole Llama 4 models of a few kilobytes, random weights, as GGUF. Those of
fuzz_baseline go to corpus/baseline: base files of llama4 perplexity; those of fuzz_imatrix, fuzz_vision, fuzz_png, fuzz_jpeg,
fuzz_tiles and fuzz_plan to the folders of their names.

Each seed of fuzz_model is a GGUF file with four bytes behind it that fuzz_model reads: see fuzz_model.c. The same bytes come out every
time.
"""
import pathlib
import random
import struct
import zlib

F32, F16, Q4_0, Q8_0, BF16 = 0, 1, 2, 8, 30
U32, I32, FLOAT, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
ALIGNMENT = 32
rnd = random.Random(4)


def text(s):
    b = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(b)) + b


def value(kind, v):
    if kind == STRING:
        return text(v)
    if kind == ARRAY:
        inner, items = v
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, x) for x in items)
    return struct.pack({U32: "<I", I32: "<i", FLOAT: "<f", BOOL: "<B", U64: "<Q"}[kind], v)


def half(x):
    return struct.pack("<e", x)


def row(kind, n):
    """n random numbers of a type."""
    if kind == F32:
        return b"".join(struct.pack("<f", rnd.gauss(0, 0.3)) for _ in range(n))
    if kind == F16:
        return b"".join(half(rnd.gauss(0, 0.3)) for _ in range(n))
    if kind == BF16:
        return b"".join(struct.pack("<f", rnd.gauss(0, 0.3))[2:] for _ in range(n))
    out = b""
    for _ in range(n // 32):
        out += half(0.004 if kind == Q8_0 else 0.05) + bytes(rnd.randrange(256) for _ in range(32 if kind == Q8_0 else 16))
    return out


def byte_names():
    """The 256 names of bytes in byte-level vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in names:
            names[b] = chr(256 + len(names) - len(plain))
    return [names[b] for b in range(256)]


def vocabulary():
    tokens = byte_names()
    merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "l d", "Ġwor ld"]
    tokens += [m.replace(" ", "") for m in merges]
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|header_end|>", "<|eom|>", "<|eot|>", "<|python_start|>", "<|python_end|>",
               "<|finetune_right_pad|>"]
    kinds = [1] * len(tokens) + [3] * len(special)
    tokens += special
    return tokens, kinds, merges


def model(version, kind, layers, experts, step, nope, chunk, qk_norm, with_vocabulary, dim=32, ff=32, heads=2, kv=1, d=16, temperature=0.1):
    tokens, kinds, merges = vocabulary() if with_vocabulary else ([], [], [])
    rows = len(tokens) or 40
    keys = [("general.architecture", STRING, "llama4"), ("general.name", STRING, "seed"), ("llama4.block_count", U32, layers),
            ("llama4.context_length", U32, 64), ("llama4.embedding_length", U32, dim), ("llama4.feed_forward_length", U32, ff),
            ("llama4.attention.head_count", U32, heads), ("llama4.attention.head_count_kv", U32, kv), ("llama4.attention.key_length", U32, d),
            ("llama4.attention.value_length", U32, d), ("llama4.rope.dimension_count", U32, d), ("llama4.rope.freq_base", FLOAT, 500000.0),
            ("llama4.attention.layer_norm_rms_epsilon", FLOAT, 1e-5), ("llama4.vocab_size", U32, rows),
            ("llama4.attention.chunk_size", U32, chunk), ("llama4.attention.nope_interval", U32, nope),
            ("llama4.attention.temperature_scale", FLOAT, temperature), ("llama4.attention.temperature_length", U32, 4),
            ("llama4.attention.qk_norm", BOOL, qk_norm)]
    if experts:
        keys += [("llama4.expert_count", U32, experts), ("llama4.expert_used_count", U32, 1), ("llama4.expert_feed_forward_length", U32, ff),
                 ("llama4.interleave_moe_layer_step", U32, step)]
    if with_vocabulary:
        at = {t: i for i, t in enumerate(tokens)}
        keys += [("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "llama4"), ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
                 ("tokenizer.ggml.token_type", ARRAY, (I32, kinds)), ("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
                 ("tokenizer.ggml.bos_token_id", U32, at["<|begin_of_text|>"]), ("tokenizer.ggml.eos_token_id", U32, at["<|eot|>"])]
    else:
        keys += [("tokenizer.ggml.model", STRING, "no_vocab")]
    tensors = [("token_embd.weight", kind, [dim, rows]), ("output_norm.weight", F32, [dim]), ("output.weight", kind, [dim, rows])]
    for i in range(layers):
        b = f"blk.{i}."
        tensors += [(b + "attn_norm.weight", F32, [dim]), (b + "attn_q.weight", kind, [dim, heads * d]), (b + "attn_k.weight", kind, [dim, kv * d]),
                    (b + "attn_v.weight", kind, [dim, kv * d]), (b + "attn_output.weight", kind, [heads * d, dim]), (b + "ffn_norm.weight", F32, [dim])]
        if experts and (i + 1) % step == 0:
            tensors += [(b + "ffn_gate_inp.weight", F32, [dim, experts])]
            tensors += [(b + f"ffn_{m}_exps.weight", kind, [dim, ff, experts] if m != "down" else [ff, dim, experts]) for m in ("gate", "up", "down")]
            tensors += [(b + f"ffn_{m}_shexp.weight", kind, [dim, ff] if m != "down" else [ff, dim]) for m in ("gate", "up", "down")]
        else:
            tensors += [(b + f"ffn_{m}.weight", kind, [dim, ff] if m != "down" else [ff, dim]) for m in ("gate", "up", "down")]
    return gguf(version, keys, tensors)


def gguf(version, keys, tensors):
    """A file of these keys, and of random tensors of these names, types and shapes."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, k, v in keys:
        head += text(name) + struct.pack("<I", k) + value(k, v)
    body = b""
    for name, k, dims in tensors:
        body += b"\0" * (-len(body) % ALIGNMENT)
        head += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", x) for x in dims) + struct.pack("<IQ", k, len(body))
        n = 1
        for x in dims[1:]:
            n *= x
        body += b"".join(row(k, dims[0]) for _ in range(n))
    return head + b"\0" * (-len(head) % ALIGNMENT) + body


def check(data):
    c = 2166136261
    for b in data:
        c = (c ^ b) * 16777619 & 0xffffffff
    return struct.pack("<I", c)


def base_file(vocab, window, stride, rows, windows, bos):
    """See examples/cli/baseline.h."""
    draw = random.Random(5)
    n = (windows - 1) * stride + window
    ids = b"".join(struct.pack("<I", draw.randrange(vocab)) for _ in range(n))
    head = b"L4LOGPRB" + struct.pack("<7Ii", 1, vocab, window, stride, rows, windows, n, bos)
    out = head + check(head + ids) + ids
    for _ in range(rows * windows):
        top = draw.randrange(vocab)
        first, codes = struct.pack("<ffI", -0.25, 0.0005, top), [draw.randrange(65536) if i != top else 0 for i in range(vocab)]
        last = struct.pack(f"<{vocab}H", *codes)
        out += first + check(first + last) + last
    return out


def write_base_files():
    out = pathlib.Path(__file__).resolve().parent / "corpus/baseline"
    out.mkdir(parents=True, exist_ok=True)
    good = base_file(7, 6, 4, 3, 3, 0)
    seeds = {"good": good, "no-bos": base_file(3, 4, 4, 1, 2, -1), "damaged": good[:-3] + b"x" + good[-2:], "short": good[:-1],
             "many-windows": good[:28] + b"\xff\xff\xff\xff" + good[32:], "no-rows": good[:24] + b"\0" + good[25:]}
    for name, data in seeds.items():
        (out / name).write_bytes(data)
        print(name, len(data))


def encoder(kind, layers, ln2="ln2", projector="llama4", width=16, ff=32, heads=2, tile=8, patch=4, out=32):
    """A picture encoder ("mmproj")."""
    keys = [("general.architecture", STRING, "clip"), ("clip.projector_type", STRING, projector), ("clip.vision.image_size", U32, tile),
            ("clip.vision.patch_size", U32, patch), ("clip.vision.embedding_length", U32, width), ("clip.vision.feed_forward_length", U32, ff),
            ("clip.vision.block_count", U32, layers), ("clip.vision.attention.head_count", U32, heads), ("clip.vision.projection_dim", U32, out),
            ("clip.vision.projector.scale_factor", U32, 2), ("clip.vision.attention.layer_norm_epsilon", FLOAT, 1e-5),
            ("clip.vision.image_mean", ARRAY, (FLOAT, [0.5, 0.5, 0.5])), ("clip.vision.image_std", ARRAY, (FLOAT, [0.5, 0.5, 0.5]))]
    tensors = [("v.patch_embd.weight", F32, [3 * patch * patch, width]), ("v.class_embd", F32, [width]),
               ("v.position_embd.weight", F32, [width, (tile // patch) ** 2 + 1])]
    tensors += [(f"v.{n}_ln.{p}", F32, [width]) for n in ("pre", "post") for p in ("weight", "bias")]
    for i in range(layers):
        b = f"v.blk.{i}."
        tensors += [(b + f"{n}.{p}", F32, [width]) for n in ("ln1", ln2) for p in ("weight", "bias")]
        for n, cols, rows in (*((f"attn_{x}", width, width) for x in ("q", "k", "v", "out")), ("ffn_up", width, ff), ("ffn_down", ff, width)):
            tensors += [(b + n + ".weight", kind if cols % 32 == 0 else F16, [cols, rows]), (b + n + ".bias", F32, [rows])]
    tensors += [("mm.model.mlp.1.weight", kind, [4 * width, 32]), ("mm.model.mlp.2.weight", kind, [32, 32]), ("mm.model.fc.weight", kind, [32, out])]
    return gguf(3, keys, tensors)


CONFIG = b"""{"model_type": "llama4", "text_config": {"hidden_size": 96}, "vision_config": {"hidden_size": 64, "num_hidden_layers": 3, "image_size": 56,
"patch_size": 14, "num_attention_heads": 4, "intermediate_size": 256, "pixel_shuffle_ratio": 0.5, "norm_eps": 1e-05, "hidden_act": "gelu",
"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "vision_feature_select_strategy": "default"}}"""


def write_encoders():
    out = pathlib.Path(__file__).resolve().parent / "corpus/vision"
    out.mkdir(parents=True, exist_ok=True)
    seeds = {"f32": encoder(F32, 1), "f16": encoder(F16, 2), "q8_0": encoder(Q8_0, 1), "misnamed": encoder(BF16, 1, ln2="attn_post_norm"),
             "foreign": encoder(F16, 1, projector="mlp"), "config": CONFIG,
             "both": CONFIG + b"\0" + b'{"max_patches": 4, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}'}
    for name, data in seeds.items():
        (out / name).write_bytes(data)
        print(name, len(data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(kind, depth, interlaced=0, size=(9, 7), palette=None, trns=None):
    draw, (w, h) = random.Random(kind * 100 + depth), size
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    rows = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        n = len(range(x0, w, dx))
        for k in range(len(range(y0, h, dy)) if n else 0):
            rows += bytes([k % 5]) + bytes(draw.randrange(256) for _ in range((n * bits + 7) // 8))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlaced))
    out += chunk(b"PLTE", palette) if palette else b""
    out += chunk(b"tRNS", trns) if trns else b""
    return out + chunk(b"tEXt", b"Comment\0seed") + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def write_pictures():
    here = pathlib.Path(__file__).resolve().parent
    colours = bytes(i * 37 % 256 for i in range(768))
    seeds = {"grey-1": png(0, 1), "grey-2-interlaced": png(0, 2, 1), "grey-16": png(0, 16), "grey-8-key": png(0, 8, trns=b"\0\5"), "rgb-8": png(2, 8),
             "rgb-16-interlaced": png(2, 16, 1, trns=b"\0\1\0\2\0\3"), "palette-4": png(3, 4, palette=colours[:48], trns=b"\0\x80"),
             "palette-8-interlaced": png(3, 8, 1, palette=colours), "grey-alpha": png(4, 8), "rgba-interlaced": png(6, 8, 1), "rgba-16": png(6, 16),
             "one": png(2, 8, size=(1, 1))}
    (here / "corpus/png").mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (here / "corpus/png" / name).write_bytes(data)
    (here / "corpus/jpeg").mkdir(parents=True, exist_ok=True)
    for path in sorted((here / "../data/pictures").glob("*.jpg")):
        data = path.read_bytes()
        exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0" if path.stem == "full" else b""
        (here / "corpus/jpeg" / path.stem).write_bytes(data[:2] + exif + data[2:])
    (here / "corpus/tiles").mkdir(parents=True, exist_ok=True)
    for n, (w, h, tile, most) in enumerate([(1, 1, 56, 16), (99, 41, 32, 16), (640, 480, 56, 4), (3, 65535, 16, 64), (65535, 2, 7, 1), (300, 700, 64, 63)]):
        (here / "corpus/tiles" / str(n)).write_bytes(struct.pack("<HHBB", w - 1, h - 1, tile - 1, most - 1) + bytes(range(0, 250, 7)))


def write_plans():
    out = pathlib.Path(__file__).resolve().parent / "corpus/plan"
    out.mkdir(parents=True, exist_ok=True)
    shape = {"block_count": 3, "embedding_length": 64, "attention.head_count": 2, "attention.head_count_kv": 1, "feed_forward_length": 96,
             "expert_feed_forward_length": 32, "expert_count": 2, "interleave_moe_layer_step": 2, "vocab_size": 50}
    keys = [("general.architecture", STRING, "llama4")] + [("llama4." + name, U32, n) for name, n in shape.items()]
    split = [("split.no", U32, 0), ("split.count", U32, 3), ("split.tensors.count", U32, 40)]
    some = [("token_embd.weight", Q8_0, [64, 50]), ("blk.0.attn_q.weight", Q4_0, [64, 64]), ("blk.1.ffn_gate_exps.weight", Q8_0, [64, 32, 2])]
    config = (b'{"model_type": "llama4_text", "num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 32, '
              b'"num_key_value_heads": 1, "num_local_experts": 2, "vocab_size": 50, "torch_dtype": "float16"}')
    index = b'{"weight_map": {"model.norm.weight": "a.safetensors", "lm_head.weight": "b.safetensors"}}'
    seeds = {"whole": model(3, Q4_0, 2, 2, 1, 2, 4, 1, False)[:-9000], "keys-only": gguf(3, keys + [("general.file_type", U32, 15)] + split, []),
             "first-part": gguf(3, keys + split, some), "directory": config + b"\0" + index,
             "large": gguf(3, [keys[0]] + [("llama4." + name, U32, n * 4096 if n > 3 else 1000) for name, n in shape.items()] + split, [])}
    for name, data in seeds.items():
        (out / name).write_bytes(data)


def write_imatrices():
    """Importance matrices of both forms, for fuzz_imatrix."""
    out = pathlib.Path(__file__).resolve().parent / "corpus/imatrix"
    out.mkdir(parents=True, exist_ok=True)
    entries = {"blk.0.attn_q.weight": (1, 16), "blk.0.ffn_up_exps.weight": (2, 8), "output.weight": (1, 4)}
    numbers = {name: [abs(rnd.gauss(0, 1)) for _ in range(a * b)] for name, (a, b) in entries.items()}
    old = struct.pack("<i", len(entries))
    for name, values in numbers.items():
        old += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", 3, len(values)) + struct.pack(f"<{len(values)}f", *values)
    (out / "old").write_bytes(old)
    (out / "old-trailer").write_bytes(old + struct.pack("<ii", 12, 8) + b"text.txt")
    tensors = []
    for name, (matrices, columns) in entries.items():
        tensors.append((name + ".in_sum2", (columns, matrices), numbers[name]))
        tensors.append((name + ".counts", (1, matrices), [0.0, 40.0][-matrices:]))
    keys = [("general.type", STRING, "imatrix"), ("imatrix.datasets", ARRAY, (STRING, ["text.txt"])), ("imatrix.chunk_count", U32, 12),
            ("imatrix.chunk_size", U32, 512)]
    infos, data = b"", b""
    for name, dims, values in tensors:
        infos += text(name) + struct.pack("<I", 2) + struct.pack("<2Q", *dims) + struct.pack("<IQ", F32, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += bytes(-len(data) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(text(k) + struct.pack("<I", t) + value(t, v) for k, t, v in keys) + infos
    (out / "gguf").write_bytes(head + bytes(-len(head) % ALIGNMENT) + data)


def main():
    write_base_files()
    write_pictures()
    out = pathlib.Path(__file__).resolve().parent / "corpus/model"
    out.mkdir(parents=True, exist_ok=True)
    seeds = {
        "mixture-q4_0": (model(3, Q4_0, 2, 2, 1, 2, 4, 1, False), (0, 0, 6, 0)),
        "mixture-q8_0-v2": (model(2, Q8_0, 2, 2, 2, 2, 4, 0, False), (0, 0, 9, 1)),
        "dense-f16": (model(3, F16, 1, 0, 1, 0, 0, 0, False, temperature=0.0), (0, 0, 3, 2)),
        "dense-bf16": (model(3, BF16, 1, 0, 1, 0, 4, 0, False), (0, 0, 5, 0)),
        "dense-f32": (model(3, F32, 1, 0, 1, 1, 4, 0, False), (0, 0, 5, 3)),
        "vocabulary-q4_0": (model(3, Q4_0, 1, 0, 1, 0, 4, 0, True), (0, 0, 5, 4)),
        "failing-7": (model(3, Q4_0, 1, 2, 1, 0, 4, 1, False), (7, 0, 5, 0)),
        "failing-20": (model(3, Q4_0, 1, 0, 1, 0, 4, 0, True), (20, 0, 5, 4)),
    }
    for name, (data, options) in seeds.items():
        (out / name).write_bytes(data + bytes(options))
        print(name, len(data) + 4)
    write_encoders()
    write_plans()
    write_imatrices()


if __name__ == "__main__":
    main()
