"""How far quantised files take a model from float32, computed by the library and by the peer: tests/bench/compare --quality."""
import os
import tempfile

import children
from children import Failed, say

# Each alone in a file, as far as its matrices allow.
PURE = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS",
        "IQ3_S", "IQ4_NL", "IQ4_XS", "MXFP4"]
MIXES = ["Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M"]
TYPES = PURE + MIXES
IMPORTANCE_TYPES = ["Q2_K", "Q3_K", "Q4_0", "Q4_K", "IQ4_XS"]
NO_ENCODER = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"}  # of ours: llama4 quantize --help


def kl(runner, a, path, base):
    return runner.run([a.program, "perplexity", path, "--kl-base", base, "--kv", a.kv, "--threads", a.threads, "--json"])


def measure_type(runner, a, folder, source, base, kind):
    peers, ours = os.path.join(folder, "peer.gguf"), os.path.join(folder, "ours.gguf")
    mix = kind in MIXES
    say(kind)
    made = runner.run([a.peer, children.HERE / "peer.py", "quantize", source, peers, kind, *(["--mix"] if mix else []), "--threads", a.threads])
    mine = kl(runner, a, peers, base)
    other = runner.run([a.peer, children.HERE / "peer.py", "perplexity", peers, "--kl-base", base, "--threads", a.threads])
    third = None
    if kind not in NO_ENCODER:
        runner.run([a.program, "quantize", source, ours, "--type", kind.lower()])
        third = kl(runner, a, ours, base)
    row = {"type": kind, "bytes": made["bytes"], "ours": mine["divergence"], "peer": other["divergence"],
           "ratio": mine["divergence"] / other["divergence"], "our_file": third and third["divergence"],
           "file_ratio": third and third["divergence"] / mine["divergence"], "our_file_bytes": third and os.path.getsize(ours),
           "details": {"ours": mine, "peer": other, "our_file": third}}
    for path in (peers, ours):
        if os.path.exists(path):
            os.remove(path)
    return row


def save_base(runner, a, source, text, base):
    return runner.run([a.program, "perplexity", source, "-f", text, "--special", "--stride", 256, "--save-base", base, "--kv", "f32",
                       "--threads", a.threads, "--json"])


def measure_importance(runner, a, folder, source, kinds):
    """The text's first half makes an importance matrix, by way of the peer; its second half judges."""
    lines = a.text.read_text().splitlines(keepends=True)
    bases = []
    for name, half in (("calibrate", lines[:len(lines) // 2]), ("judge", lines[len(lines) // 2:])):
        text = os.path.join(folder, name + ".txt")
        with open(text, "w") as out:
            out.writelines(half)
        bases.append(os.path.join(folder, name + ".base"))
        scored = save_base(runner, a, source, text, bases[-1])["scored"]
    matrix = os.path.join(folder, "imatrix.dat")
    runner.run([a.peer, children.HERE / "peer.py", "imatrix", source, matrix, "--kl-base", bases[0], "--threads", a.threads])
    rows = []
    for kind in kinds:
        say(f"{kind} with an importance matrix")
        values = []
        for with_matrix in ([], ["--imatrix", matrix]):
            ours, peers = os.path.join(folder, "ours.gguf"), os.path.join(folder, "peer.gguf")
            runner.run([a.program, "quantize", source, ours, "--type", kind.lower(), *with_matrix])
            runner.run([a.peer, children.HERE / "peer.py", "quantize", source, peers, kind, "--threads", a.threads, *with_matrix])
            values += [kl(runner, a, path, bases[1])["divergence"] for path in (ours, peers)]
            os.remove(ours)
            os.remove(peers)
        rows.append(dict(zip(("ours", "peer", "ours_with", "peer_with"), values), type=kind, scored=scored))
    return rows


def measure(a):
    runner = children.Runner()
    with tempfile.TemporaryDirectory(dir=a.folder, prefix="quality-") as folder:
        source, base = os.path.join(folder, "f32.gguf"), os.path.join(folder, "text.base")
        runner.run([a.program, "convert", a.model, source, "--type", "f32"])
        reference = save_base(runner, a, source, a.text, base)
        say(f"{a.model.name} in float32: perplexity {reference['perplexity']:.4f} over {reference['scored']} tokens")
        check = runner.run([a.peer, children.HERE / "peer.py", "perplexity", source, "--kl-base", base, "--threads", a.threads])
        if check["divergence"] > 1e-3:
            raise Failed(f"the peer's float32 model is {check['divergence']} nats from ours: they do not compute the same")
        data = {"model": a.model.name, "perplexity": reference["perplexity"], "scored": reference["scored"], "peer": check["peer"],
                "float_divergence_of_the_peer": check["divergence"], "rows": [], "failures": []}
        for kind in a.quality_types:
            try:
                data["rows"].append(measure_type(runner, a, folder, source, base, kind))
            except Failed as why:
                say(f"compare: {kind}: {why}")
                data["failures"].append(f"{kind}: {why}")
        try:
            data["importance"] = measure_importance(runner, a, folder, source, [k for k in IMPORTANCE_TYPES if k in a.quality_types])
        except Failed as why:
            say(f"compare: importance: {why}")
            data["failures"].append(f"importance: {why}")
    return data
