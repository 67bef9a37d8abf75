#!/usr/bin/env python3
"""llama4 bench and llama4 perplexity from outside: the form of what bench prints, never how fast; and the sums of perplexity, done
again from its base files. And llama4 quantize --imatrix.

    test_cli_measure.py LLAMA4_BINARY REPO_ROOT [NAME...]

Prints as test_cli.py does."""
import json
import math
import re
import signal
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import test_cli as cli
from test_cli import Run, check, equal, test

cli.TESTS.clear()
QUICK = ["--repeat", "2", "--tokens", "2", "--buffer", "16"]
TEXT = ("<|begin_of_text|><|header_start|>user<|header_end|>\n\nWhat is 11 + 3?<|eot|><|header_start|>assistant<|header_end|>\n\n11 + 3 = 14.<|eot|>"
        "The with statement is used to wrap the execution of a block with methods defined by a context manager.\n") * 12


def near(got, want, error, what):
    check(math.isclose(got, want, rel_tol=error, abs_tol=error), f"{what} is {got!r}, not {want!r}")


# ---- bench ----


@test
def bench_table():
    lines = Run("bench", cli.MODEL, "-p", "16,8", "-d", "20,0", *QUICK, "-t", "2").quiet().out.splitlines()
    check(lines[0].startswith("model ") and "8 layers, mostly Q8_0" in lines[0], lines[0])
    check(re.match(r"a token +\d+\.\d MB of weights, \d+\.\d million operations", lines[1]), lines[1])
    check(", 2 threads, " in lines[2] and lines[2].startswith("machine "), lines[2])
    check("GB/s" in lines[3] and "operations/s" in lines[3], lines[3])
    rows = [line.split() for line in lines[6:]]
    equal([row[:3] for row in rows], [["prefill", "8", "0"], ["prefill", "16", "0"], ["decode", "2", "0"], ["decode", "2", "20"]])
    for row in rows:
        median, slowest, fastest = map(float, row[3:6])
        check(0 < slowest <= median <= fastest, f"rates of {row}")
    check(len(set(map(len, lines[5:]))) <= 2, "the columns are not aligned")


@test
def bench_json():
    data = json.loads(Run("bench", cli.MODEL, "--prompt=24", "--depth", "0,33", *QUICK, "--json", "--threads", "1", "--kv", "f32").quiet().out)
    tensors = json.loads(Run("info", cli.MODEL, "--json", "--tensors").quiet().out)["tensor_list"]
    size = operations = 0
    for t in tensors:
        share = 1 / 4 if "_exps" in t["name"] else 1 / 2048 if t["name"].startswith("token_embd") else 1
        size += t["bytes"] * share
        if len(t["shape"]) > 1 and not t["name"].startswith(("token_embd", "output")):
            operations += 2 * math.prod(t["shape"]) * share
    near(data["bytes_per_token"], size, 1e-9, "bytes per token")
    near(data["operations_per_token"], operations, 1e-9, "operations per token")
    equal((data["threads"], data["layers"], data["type"]), (1, 8, "Q8_0"))
    equal([(t["test"], t["tokens"], t["depth"]) for t in data["tests"]], [("prefill", 24, 0), ("decode", 2, 0), ("decode", 2, 33)])
    prefill, decode, deep = data["tests"]
    for t in data["tests"]:
        equal(len(t["rates"]), 2)
        near(t["tokens_per_second"], sum(t["rates"]) / 2, 1e-6, "the median of two")
    # keys and values of 8 layers, 2 heads of 64, in float32, at depths of half a token less than 1 and 34
    for t, seen in ((decode, 1.5), (deep, 34.5)):
        near(t["bytes_per_second"] / t["tokens_per_second"], size + seen * 8 * 2 * 2 * 64 * 4, 1e-4, "bytes read per token")
        near(t["bandwidth_share"], t["bytes_per_second"] / data["bandwidth"], 1e-3, "share of the bandwidth")
        equal((t["peak_share"], t["operations_per_second"]), (None, None))
    near(prefill["operations_per_second"] / prefill["tokens_per_second"], operations + data["operations_for_logits"] / 24, 1e-4, "operations")
    if data["int8_peak"]:
        near(prefill["peak_share"], prefill["operations_per_second"] / data["int8_peak"], 1e-3, "share of the peak")
    equal(prefill["bandwidth_share"], None)


@test
def bench_without_limits():
    data = json.loads(Run("bench", cli.MODEL, "-p", "", "-d", "3", "-n1", "-r1", "--buffer", "0", "--cpu", "generic", "--batch", "7", "--json").quiet().out)
    equal((data["bandwidth"], data["int8_peak"], data["cpu"], data["batch"]), (None, None, "generic", 7))
    equal([(t["test"], t["bandwidth_share"]) for t in data["tests"]], [("decode", None)])
    text = Run("bench", cli.MODEL, "-p", "5", "-d", "", "-r1", "--buffer", "0", "--cpu", "generic").quiet().out
    check("n/a GB/s, n/a int8 operations/s" in text, text)


@test
def bench_mistakes():
    for value in ("x", "0", "1,,2", ",1", "1,", "-5", "16777217", ",".join("1" * 17), "99999999999999999999"):
        Run("bench", cli.MODEL, "--prompt", value).mistake("--prompt")
    Run("bench", cli.MODEL, "--depth", "1;2").mistake("--depth")
    Run("bench", cli.MODEL, "--cpu", "sse").mistake("--cpu", "avx512-vnni")
    Run("bench", cli.MODEL, "--kv", "q3").mistake("--kv", "f16")
    Run("bench", cli.MODEL, "-p", "", "-d", "").failure("nothing")
    Run("bench", "nowhere.gguf").failure("nowhere")


# ---- perplexity ----


def write_text(text=TEXT):
    path = cli.TEMP / "text.txt"
    path.write_text(text)
    return path


class Base:
    """A base file read as its description says, by none of the program's code."""

    def __init__(self, path):
        data = path.read_bytes()
        equal(data[:8], b"L4LOGPRB")
        self.version, self.vocab, self.window, self.stride, self.rows, self.windows, n, self.bos, self.check = struct.unpack_from("<7IiI", data, 8)
        self.tokens = struct.unpack_from(f"<{n}I", data, 44)
        at, size = 44 + 4 * n, 16 + 2 * self.vocab
        equal(len(data), at + size * self.rows * self.windows, "the size")
        self.row, self.top, self.target = [], [], []
        for k in range(self.rows * self.windows):
            high, step, top, _ = struct.unpack_from("<ffII", data, at)
            codes = struct.unpack_from(f"<{self.vocab}H", data, at + 16)
            shift = math.log(math.fsum(math.exp(high - step * c) for c in codes))
            self.row.append([high - step * c - shift for c in codes])
            self.top.append(top)
            window, i = divmod(k, self.rows)
            self.target.append(self.tokens[window * self.stride + self.window - self.rows + i])
            at += size

    def perplexity(self):
        return math.exp(-sum(row[t] for row, t in zip(self.row, self.target)) / len(self.row))


def score(*arguments):
    return json.loads(Run("perplexity", *arguments, "--json").quiet().out)


@test
def perplexity_of_a_text():
    text, path = write_text(), cli.TEMP / "q8.base"
    data = score(cli.MODEL, "-f", text, "--special", "-c", "64", "--save-base", path)
    base = Base(path)
    ids = [int(i) for i in Run("tokenize", cli.MODEL, "--special", "--bos", "-f", text).quiet().out.split()]
    equal(list(base.tokens), ids[:len(base.tokens)])
    check(len(base.tokens) > len(ids) - 64, "tokens are left out")
    equal((base.version, base.window, base.stride, base.rows), (1, 64, 64, 31))
    equal((data["tokens"], data["scored"], data["windows"]), (len(base.tokens), 31 * base.windows, base.windows))
    near(data["perplexity"], base.perplexity(), 1e-3, "perplexity")
    check(1 < data["perplexity"] < 100, f"{data['perplexity']}: the model knows this text")
    losses = [-row[t] for row, t in zip(base.row, base.target)]
    mean = sum(losses) / len(losses)
    error = math.sqrt((sum(x * x for x in losses) / len(losses) - mean * mean) / (len(losses) - 1)) * data["perplexity"]
    near(data["perplexity_error"], error, 1e-2, "its error")
    equal(sorted(p.name for p in cli.TEMP.iterdir()), ["q8.base", "text.txt"])
    line = Run("perplexity", cli.MODEL, "-f", text, "--special", "-c", "64").quiet().out
    check(re.match(r"perplexity +\d+\.\d{4} \+- \d+\.\d{4}\nscored +\d+ of \d+ tokens, in \d+ windows of 64; ", line), line)
    check(score(cli.MODEL, "-f", text, "-c", "64")["tokens"] > data["tokens"], "--special changes nothing")


@test
def perplexity_does_not_depend_on_how():
    text = write_text()
    want = score(cli.MODEL, "-f", text, "-c", "50", "--windows", "3")
    for more in (["-t", "1"], ["-t5"], ["--batch", "7"], ["--cpu", "generic"]):
        got = score(cli.MODEL, "-f", text, "-c", "50", "--windows", "3", *more)
        equal((got["perplexity"], got["perplexity_error"], got["scored"]), (want["perplexity"], want["perplexity_error"], 3 * 24), str(more))
    f32 = score(cli.MODEL, "-f", text, "-c", "50", "--windows", "3", "--kv", "f32")
    near(f32["perplexity"], want["perplexity"], 0.05, "with keys in float32")
    check(f32["perplexity"] != want["perplexity"], "--kv changes nothing")


@test
def perplexity_stride():
    text, path = write_text(), cli.TEMP / "stride.base"
    data = score(cli.MODEL, "-f", text, "-c", "40", "--stride", "10", "--windows", "5", "--save-base", path)
    base = Base(path)
    equal((base.window, base.stride, base.rows, base.windows), (40, 10, 10, 5))
    equal((data["tokens"], data["scored"], data["stride"]), (80, 50, 10))
    near(data["perplexity"], base.perplexity(), 1e-3, "perplexity")
    one = score(cli.MODEL, "-f", text, "-c", "4", "--windows", "1")
    equal((one["scored"], one["perplexity_error"]), (1, None))


@test
def divergence():
    text, four = write_text(), cli.TEMP / "q4.gguf"
    shape = ["-f", text, "--special", "-c", "64", "--windows", "4"]
    Run("convert", cli.MODEL, four, "--type", "q4_0").ok()
    score(cli.MODEL, *shape, "--save-base", cli.TEMP / "p")
    score(four, *shape, "--save-base", cli.TEMP / "q")
    got, p, q = score(four, "--kl-base", cli.TEMP / "p"), Base(cli.TEMP / "p"), Base(cli.TEMP / "q")
    near(got["perplexity"], q.perplexity(), 1e-3, "perplexity")
    near(got["base_perplexity"], p.perplexity(), 1e-6, "that of the base")
    near(got["ratio"], q.perplexity() / p.perplexity(), 1e-3, "their ratio")
    each = sorted(math.fsum(math.exp(a) * (a - b) for a, b in zip(x, y)) for x, y in zip(p.row, q.row))
    near(got["divergence"], sum(each) / len(each), 1e-3, "divergence")
    for name, percent in (("median", 50), ("90", 90), ("99", 99), ("99_9", 99.9), ("max", 100)):
        at = percent / 100 * (len(each) - 1)
        i = min(int(at), len(each) - 2)
        near(got["divergence_" + name], each[i] + (at - i) * (each[i + 1] - each[i]), 2e-3, name)
    near(got["same_top"], sum(a == b for a, b in zip(p.top, q.top)) / len(each), 1e-6, "same top")
    shifts = [math.exp(y[t]) - math.exp(x[t]) for x, y, t in zip(p.row, q.row, p.target)]
    near(got["probability_shift"], sum(shifts) / len(shifts), 1e-3, "shift")
    near(got["probability_shift_rms"], math.sqrt(sum(s * s for s in shifts) / len(shifts)), 1e-2, "shift")
    own = score(cli.MODEL, "--kl-base", cli.TEMP / "p", "-f", text, "--special")
    check(0 <= own["divergence"] < 1e-6 and own["same_top"] == 1, f"from itself: {own}")
    check(got["divergence"] > 100 * own["divergence"], "four bits diverge no more than none")
    lines = Run("perplexity", four, "--kl-base", cli.TEMP / "p").quiet().out
    for word in ("of the base", "ratio", "divergence", "99.9 %", "largest", "same top id", "RMS"):
        check(word in lines, f"{word!r} is not in {lines!r}")


@test
def perplexity_mistakes():
    text = write_text()
    Run("perplexity", cli.MODEL).mistake("-f")
    Run("perplexity", cli.MODEL, "-f", text, "--save-base", "a", "--kl-base", "b").mistake("--save-base")
    Run("perplexity", cli.MODEL, "--kl-base", "b", "--context", "9").mistake("--context")
    Run("perplexity", cli.MODEL, "-f", text, "--stride", "512").mistake("--stride")
    Run("perplexity", cli.MODEL, "-f", text, "--context", "3").mistake("--context")
    Run("perplexity", "nowhere.gguf", "-f", text).failure("nowhere")
    Run("perplexity", cli.MODEL, "-f", "nowhere.txt").failure("nowhere.txt")
    Run("perplexity", cli.MODEL, "-f", text, "-c", "100000").failure("text.txt", "100000")
    Run("perplexity", cli.MODEL, "-f", "-", stdin=b"\xff" * 900).failure("UTF-8")
    Run("perplexity", cli.MODEL, "-f", text, "-c", "64", "--save-base", cli.TEMP / "no/such/folder").failure("folder")
    Run("perplexity", cli.MODEL, "--kl-base", "nowhere.base").failure("nowhere.base")
    Run("perplexity", cli.MODEL, "--kl-base", cli.TEMP).failure(str(cli.TEMP))


@test
def damaged_bases():
    text, good, bad = write_text(), cli.TEMP / "good.base", cli.TEMP / "bad.base"
    score(cli.MODEL, "-f", text, "-c", "8", "--windows", "2", "--save-base", good)
    data = good.read_bytes()
    for broken in (b"", data[:20], data[:44], data[:-1], data + b"x", b"X" + data[1:], data[:8] + b"\x02" + data[9:]):
        bad.write_bytes(broken)
        Run("perplexity", cli.MODEL, "--kl-base", bad).failure("bad.base")
    for at in (40, 44, 44 + 4 * 16 + 9, len(data) - 1):
        bad.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])
        Run("perplexity", cli.MODEL, "--kl-base", bad).failure("bad.base", "damaged")
    text.write_text("Something else. " * 30)
    Run("perplexity", cli.MODEL, "--kl-base", good, "-f", text).failure("good.base", "another text")
    sys.path.insert(0, str(cli.ROOT / "tests/fuzz"))
    import make_seeds
    bad.write_bytes(make_seeds.base_file(7, 6, 4, 3, 3, 0))
    Run("perplexity", cli.MODEL, "--kl-base", bad).failure("bad.base", "7 ids")


@test
def a_stopped_save_leaves_nothing():
    text, path = write_text(TEXT * 40), cli.TEMP / "kept.base"
    path.write_text("kept")
    process = subprocess.Popen([cli.PROGRAM, "perplexity", cli.MODEL, "-f", text, "--save-base", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    part = cli.TEMP / "kept.base.part"
    while not part.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    equal((process.returncode, out, err), (130, b"", b""))
    equal(sorted(p.name for p in cli.TEMP.iterdir()), ["kept.base", "text.txt"])
    equal(path.read_text(), "kept")


# ---- quantize --imatrix ----


@test
def quantize_by_importance():
    plain, weighted, weights = cli.TEMP / "plain.gguf", cli.TEMP / "weighted.gguf", cli.TEMP / "imatrix.dat"
    name, columns = b"blk.0.attn_q.weight", 256
    entry = struct.pack("<i", len(name)) + name + struct.pack("<ii", 1, columns)
    weights.write_bytes(struct.pack("<i", 1) + entry + struct.pack(f"<{columns}f", *(1.0 if i % 4 == 0 else 0.01 for i in range(columns))))
    Run("quantize", cli.MODEL, plain, "--type", "q4_k").ok()
    result = Run("quantize", cli.MODEL, weighted, "--type", "q4_k", "--imatrix", weights).ok()
    check("warning" in result.err and "imatrix.dat" in result.err and "blk." in result.err, f"no warning: {result.err!r}")
    a, b = plain.read_bytes(), weighted.read_bytes()
    differ = [i for i in range(len(a)) if a[i] != b[i]] if len(a) == len(b) else []
    check(0 < len(differ) and differ[-1] - differ[0] < 256 * 144, "not just one matrix differs")
    Run("quantize", cli.MODEL, plain, "--type", "q4_k", "--imatrix", cli.MODEL).failure("not an imatrix")
    Run("quantize", cli.MODEL, plain, "--type", "q4_k", "--imatrix", "nowhere.dat").failure("nowhere.dat")
    equal(plain.read_bytes() == a, True, "a failed quantisation keeps the old file: that")


if __name__ == "__main__":
    sys.exit(cli.main())
