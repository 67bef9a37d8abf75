#!/usr/bin/env python3
"""llama4 plan from outside: sizes on the command line, both forms of output, and that they agree.

    test_cli_plan.py LLAMA4_BINARY REPO_ROOT [NAME...]

Prints as test_cli.py does."""
import json
import sys

sys.dont_write_bytecode = True
import test_cli as cli
from test_cli import Run, check, equal, test

cli.TESTS.clear()
GIB = 1 << 30


def plan(*arguments):
    return json.loads(Run("plan", *arguments, "--json").quiet().out)


@test
def plan_sizes():
    for text, size in {"16G": 16 * GIB, "16g": 16 * GIB, "1.5T": 1536 * GIB, "512M": GIB // 2, "17179869184": 16 * GIB, "16GiB": 16 * GIB,
                       "16GB": 16 * GIB, "2.25G": GIB * 9 // 4, "1048576k": GIB}.items():
        equal(plan("--shape", "scout", "--memory", text)["memory_bytes"], size, text)
    equal(plan("--shape", "scout", "-c", "1M", "-m16G")["context_length"], 1 << 20)
    for text in ("", "G", "1.5", "16X", "16GG", "16 G", "-1G", "1,5G", "16iB", "1e3", "99999999T", ".", ".G", "1.2.3G", "9" * 50):
        Run("plan", "--shape", "scout", "--memory", text).mistake("--memory needs a number of bytes")
    Run("plan", "--shape", "scout", "--context", "17M").mistake("--context")


@test
def plan_mistakes():
    Run("plan", cli.MODEL, "--shape", "scout").mistake("takes the place")
    Run("plan", "--shape", "scout", "--kv", "q9_9").mistake("f16, f32")
    Run("plan", "--shape", "llama5").failure("llama5", "scout, maverick or behemoth")
    Run("plan", "--shape", "scout", "--type", "q4").failure('"q4"', "q4_k_m")
    Run("plan", cli.TEMP / "nothing.gguf").failure("nothing.gguf")


@test
def plan_adds_up():
    for arguments in ((cli.MODEL,), ("--shape", "scout", "-m", "16G"), ("--shape", "maverick", "-m", "64G", "-c", "128k", "--kv", "f32"),
                      ("--shape", "behemoth", "-m", "2T", "--type", "q8_0")):
        data = plan(*arguments)
        fixed = sum(data[part + "_bytes"] for part in ("resident", "kv", "scratch"))
        check(data["whole_bytes"] >= data["least_bytes"] > fixed, f"{arguments}: {data}")
        whole = data["memory_bytes"] >= data["whole_bytes"]
        equal(data["fits"], "whole" if whole else "streamed" if data["memory_bytes"] >= data["least_bytes"] else "no")
        if data["fits"] == "streamed":
            equal(fixed + data["pool_bytes"], data["memory_bytes"])
        if data["fits"] != "no":
            equal(data["cached_experts"], data["experts"] if whole else data["pool_bytes"] // data["expert_bytes"])
        equal(data["guessed_shape"], "behemoth" in arguments)
        for rate in ("memory", "compute", "disk", "decode", "full_decode", "prefill"):
            equal(data[rate + "_rate"], None, rate)


@test
def plan_table():
    lines = Run("plan", "--shape", "scout", "--memory", "16G", "--context", "1M").quiet().out
    for word in ("Scout", "107.77 billion", "56.5 GiB, mostly Q4_0", "to be used               16.0 GiB", "49.9 GiB  1048576 positions, i16", "fits      no"):
        check(word in lines, f"{word!r} is not in\n{lines}")
    lines = Run("plan", "--shape", "scout", "--memory", "16G").quiet().out
    for word in ("of 768", "67.5 MiB each", "fits      yes; experts", "unknown; --measure"):
        check(word in lines, f"{word!r} is not in\n{lines}")
    check("assumed" in Run("plan", "--shape", "behemoth").quiet().out, "nothing is assumed of Behemoth")
    check("all of it" in Run("plan", cli.MODEL).quiet().out, "the tiny model does not fit")
    check(max(map(len, lines.splitlines())) <= 100, "a line is too long")


@test
def plan_measures():
    data = plan(cli.MODEL, "--measure", "-t", "1")
    for rate in ("memory", "compute", "decode", "full_decode", "prefill"):
        check(data[rate + "_rate"] > 0, f"{rate} was not measured")
    text = Run("plan", cli.MODEL, "--measure", "-t", "1").quiet().out
    check("decode" in text and "GB/s" in text, text)


if __name__ == "__main__":
    sys.exit(cli.main())
