#!/usr/bin/env python3
"""Cut a golden Hugging Face text model down to fewer layers and experts, and compute its logits anew.

    pip install numpy
    cut.py IN OUT [--layers N] [--experts N]      IN, OUT: folders with cases.json, golden.safetensors and model/
    cut.py IN                                     compares with the golden logits of IN, cutting nothing

The arithmetic is the reference's, written out with numpy in float32; the second form shows how near it comes.
"""
import argparse
import json
import pathlib
import shutil
import struct

import numpy as np

f32 = np.float32


def load(path):
    raw = path.read_bytes()
    (n,) = struct.unpack_from("<Q", raw)
    tensors = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        if t["dtype"] == "BF16":
            x = (np.frombuffer(raw[8 + n + a:8 + n + b], "<u2").astype(np.uint32) << 16).view(f32)
        else:
            assert t["dtype"] == "F32", t["dtype"]
            x = np.frombuffer(raw[8 + n + a:8 + n + b], "<f4")
        tensors[name] = x.reshape(t["shape"])
    return tensors


def save(path, tensors, dtype):
    head, body = {"__metadata__": {"format": "pt"}}, b""
    for name in sorted(tensors):
        x = np.ascontiguousarray(tensors[name], f32)
        if dtype == "BF16":
            bits = x.view(np.uint32)
            assert not (bits & 0xFFFF).any(), name
            data = (bits >> 16).astype("<u2").tobytes()
        else:
            data = x.tobytes()
        head[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def rms(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + f32(eps)) * w


def silu(z):
    return z / (1 + np.exp(-z))


def rotate(v, cos, sin):
    out = np.empty_like(v)
    a, b = v[..., 0::2], v[..., 1::2]
    out[..., 0::2] = a * cos - b * sin
    out[..., 1::2] = a * sin + b * cos
    return out


def frequencies(c):
    rope, d = c["rope_parameters"], c["head_dim"]
    f = (f32(1) / f32(rope["rope_theta"]) ** (np.arange(0, d, 2).astype(f32) / f32(d))).astype(f32)
    if rope["rope_type"] == "llama3":
        wave = 2 * np.pi / f
        low, high = rope["original_max_position_embeddings"] / rope["low_freq_factor"], rope["original_max_position_embeddings"] / rope["high_freq_factor"]
        assert low == high
        f = np.where(wave > low, f / f32(rope["factor"]), f).astype(f32)
    return f


def logits(c, T, ids):
    n, d, H, G, eps = len(ids), c["head_dim"], c["num_attention_heads"], c["num_key_value_heads"], c["rms_norm_eps"]
    x = T["model.embed_tokens.weight"][ids]
    p = np.arange(n)
    angle = (p.astype(f32)[:, None] * frequencies(c)[None]).astype(f32).astype(np.float64)
    cos, sin = np.cos(angle).astype(f32)[:, None], np.sin(angle).astype(f32)[:, None]
    for i in range(c["num_hidden_layers"]):
        W = lambda name: T[f"model.layers.{i}.{name}"]
        rope = c["no_rope_layers"][i]
        a = rms(x, W("input_layernorm.weight"), eps)
        q, k, v = ((a @ W(f"self_attn.{m}_proj.weight").T).reshape(n, -1, d) for m in "qkv")
        if rope:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            if c["use_qk_norm"]:
                q, k = rms(q, f32(1), eps), rms(k, f32(1), eps)
        elif c["attn_temperature_tuning"]:
            q = q * (1 + f32(c["attn_scale"]) * np.log(np.floor((p.astype(f32) + 1) / f32(c["floor_scale"])) + 1)).astype(f32)[:, None, None]
        seen = p[None] <= p[:, None]
        if rope:
            seen &= p[None] // c["attention_chunk_size"] == p[:, None] // c["attention_chunk_size"]
        o = np.empty((n, H, d), f32)
        for h in range(H):
            s = np.where(seen, q[:, h] @ k[:, h // (H // G)].T * f32(d ** -0.5), -np.inf)
            s = np.exp(s - s.max(-1, keepdims=True))
            o[:, h] = (s / s.sum(-1, keepdims=True)) @ v[:, h // (H // G)]
        x = x + o.reshape(n, -1) @ W("self_attn.o_proj.weight").T
        y = rms(x, W("post_attention_layernorm.weight"), eps)
        if i in c["moe_layers"]:
            z = y @ W("feed_forward.router.weight").T
            best = z.argmax(-1)
            gate = (1 / (1 + np.exp(-z[p, best]))).astype(f32)
            sh = lambda m: W(f"feed_forward.shared_expert.{m}_proj.weight").T
            out = (silu(y @ sh("gate")) * (y @ sh("up"))) @ sh("down")
            for e in set(best.tolist()):
                at = np.where(best == e)[0]
                g, u = np.split((y[at] * gate[at, None]) @ W("feed_forward.experts.gate_up_proj")[e], 2, -1)
                out[at] += (silu(g) * u) @ W("feed_forward.experts.down_proj")[e]
        else:
            m = lambda name: W(f"feed_forward.{name}_proj.weight").T
            out = (silu(y @ m("gate")) * (y @ m("up"))) @ m("down")
        x = x + out
    return (rms(x, T["model.norm.weight"], eps) @ T["lm_head.weight"].T).astype(f32)


def cut(c, T, layers, experts):
    for i in range(layers, c["num_hidden_layers"]):
        T = {k: v for k, v in T.items() if not k.startswith(f"model.layers.{i}.")}
    if experts:
        T = {k: v[:experts] if ".experts." in k or ".router." in k else v for k, v in T.items()}
        c["num_local_experts"] = experts
    c["num_hidden_layers"] = layers
    c["no_rope_layers"] = c["no_rope_layers"][:layers]
    c["moe_layers"] = [i for i in c["moe_layers"] if i < layers]
    c["layer_types"] = c["layer_types"][:layers]
    return c, T


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("IN", type=pathlib.Path)
    ap.add_argument("OUT", type=pathlib.Path, nargs="?")
    ap.add_argument("--layers", type=int)
    ap.add_argument("--experts", type=int)
    a = ap.parse_args()
    c, T = json.loads((a.IN / "model/config.json").read_text()), load(a.IN / "model/model.safetensors")
    cases = json.loads((a.IN / "cases.json").read_text())
    if not a.OUT:
        golden = load(a.IN / "golden.safetensors")
        print("largest deviation", max(np.abs(logits(c, T, x["ids"]) - golden[x["logits"]]).max() for x in cases))
        return
    c, T = cut(c, T, a.layers or c["num_hidden_layers"], a.experts)
    (a.OUT / "model").mkdir(parents=True, exist_ok=True)
    golden, margin = {}, np.inf
    for x in cases:
        golden[x["logits"]] = logits(c, T, x["ids"])
        ids = list(x["ids"])
        for _ in x["greedy"]:
            last = logits(c, T, ids)[-1]
            ids.append(int(last.argmax()))
            margin = min(margin, float(np.diff(np.sort(last)[-2:])[0]))
        x["greedy"] = ids[len(x["ids"]):]
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(a.IN / "model" / name, a.OUT / "model" / name)
    (a.OUT / "model/config.json").write_text(json.dumps(c, indent=2) + "\n")
    save(a.OUT / "model/model.safetensors", T, "BF16")
    save(a.OUT / "golden.safetensors", golden, "F32")
    (a.OUT / "cases.json").write_text(json.dumps(cases))
    print("smallest margin of a greedy choice", margin)


if __name__ == "__main__":
    main()
