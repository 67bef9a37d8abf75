#!/usr/bin/env python3
"""Memory budgets and streamed experts from outside: the same answers, and what bench prints of them.

    test_cli_memory.py LLAMA4_BINARY REPO_ROOT [NAME...]

Prints as test_cli.py does."""
import json
import pathlib
import re
import sys
import tempfile

sys.dont_write_bytecode = True
import test_cli as cli
from test_cli import ANSWER, QUESTION, Run, check, equal, test

cli.TESTS.clear()
QUICK = ["--repeat", "2", "--tokens", "2", "--buffer", "16"]


@test
def memory():
    arguments = ["run", cli.MODEL, "-p", QUESTION, "--temp", "0"]
    for extra in (["--stream"], ["--memory", "16M"], ["--memory=0.5G"], ["--memory", "16777216"]):
        equal(Run(*arguments, *extra).quiet().out.strip(), ANSWER, extra)
    said = Run(*arguments, "--memory", "1M")
    check(said.status == 1 and "are needed" in said.err, said.err)
    for bad in ("G", "1.5", "-1", "12X", "1e9", "9999999999G", "16 M", "16MM", ""):
        Run(*arguments, f"--memory={bad}").mistake("--memory")
    with tempfile.TemporaryDirectory() as folder:
        experts = pathlib.Path(folder) / "experts"
        for _ in range(2):
            run = Run(*arguments, "--memory", "16M", "--experts", str(experts), "--stats")
            equal(run.out.strip(), ANSWER)
            check("experts;" in run.err and experts.stat().st_size > 20, run.err)
        experts.write_bytes(b"damaged")
        run = Run(*arguments, "--memory", "16M", "--experts", str(experts))
        check(run.status == 0 and "no list of experts" in run.err, run.err)


@test
def bench_streaming():
    arguments = ["bench", cli.MODEL, "-p", "16", "-d", "0", *QUICK, "-t", "2"]
    text = Run(*arguments, "--memory", "12M", "--routing").quiet().out
    lines = text.splitlines()
    check(any(re.match(r"memory +0\.0\d of 0\.01 GB in use: weights 0\.0\d GB, \d+ of 32 experts", line) for line in lines), text)
    check(any(line.startswith("experts ") for line in lines), text)
    rows = [list(map(int, line.split())) for line in lines[lines.index("layer  tokens of each expert, 0 to 3") + 1:]]
    equal([row[0] for row in rows], list(range(8)))
    equal({sum(row[1:]) for row in rows}, {sum(rows[0][1:])})
    data = json.loads(Run(*arguments, "--memory", "12M", "--routing", "--json").quiet().out)
    check(data["memory"]["limit"] == 12 << 20 and data["memory"]["used"] <= 12 << 20, data["memory"])
    check(data["memory"]["slots"] < data["memory"]["experts"] == 32, data["memory"])
    check(all(t["hits"] <= t["requests"] and t["wait_seconds"] <= t["seconds"] for t in data["tests"]), data["tests"])
    check(all((t["disk_share"] is None) == (data["disk"] is None) for t in data["tests"]) and data["disk"] != 0, data)
    equal([layer["layer"] for layer in data["routing"]], list(range(8)))
    plain = json.loads(Run(*arguments, "--json").quiet().out)
    check("memory" not in plain and "routing" not in plain and "requests" not in plain["tests"][0], plain)


if __name__ == "__main__":
    sys.exit(cli.main())
