#!/usr/bin/env python3
"""The llama4 program from outside: every command, exit codes, what goes to which stream.

    test_cli.py LLAMA4_BINARY REPO_ROOT [NAME...]

Prints "ok NAME" or "FAILED NAME: why" per test and closes with "N passed, N failed" (", N skipped" if any)."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TESTS = []
QUESTION, ANSWER = "What is 11 + 3?", "11 + 3 = 14."


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(got, want, what="value"):
    check(got == want, f"{what} is {got!r}, not {want!r}")


class Run:
    """One run of the program; bytes in, text out."""

    def __init__(self, *arguments, stdin=b"", **more):
        done = subprocess.run([PROGRAM, *map(os.fspath, arguments)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                              **more)
        self.status, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")

    def ok(self):
        check(self.status == 0, f"status {self.status}: {self.err.strip()!r}")
        return self

    def quiet(self):
        equal(self.err, "", "standard error")
        return self.ok()

    def mistake(self, *words):
        equal(self.status, 2, "status")
        return self.complains(*words)

    def failure(self, *words):
        equal(self.status, 1, "status")
        check(self.err.startswith("llama4: "), f"message does not begin with the program's name: {self.err!r}")
        return self.complains(*words)

    def complains(self, *words):
        equal(self.out, "", "standard output")
        for word in words:
            check(word in self.err, f"{word!r} is not in the message {self.err!r}")
        return self


# ---- Help, version, mistakes ----


@test
def usage():
    Run().mistake("Usage: llama4 COMMAND")
    listed = Run("--help").quiet().out
    equal(Run("help").quiet().out, listed, "llama4 help")
    for command in ("run", "chat", "info", "tokenize", "convert", "quantize", "bench", "perplexity", "plan"):
        check(f"\n  {command} " in listed, f"--help does not list {command}")
        text = Run(command, "--help").quiet().out
        check(text.startswith(f"Usage: llama4 {command} "), f"{command} --help begins with {text[:40]!r}")
        equal(Run("help", command).quiet().out, text, f"help {command}")
        equal(Run(command, "whatever", "-h").quiet().out, text, f"{command} -h")
        check(max(map(len, text.splitlines())) <= 130, "a line of help is too long")
    Run("frobnicate").mistake("frobnicate")
    Run("help", "frobnicate").mistake("frobnicate")


@test
def version():
    header = (ROOT / "include/llama4/version.h").read_text()
    numbers = [re.search(rf"LLAMA4_VERSION_{part} (\d+)", header).group(1) for part in ("MAJOR", "MINOR", "PATCH")]
    equal(Run("--version").quiet().out, f"llama4 {'.'.join(numbers)}\n")


@test
def bad_options():
    for command in ("run", "chat", "info", "tokenize", "convert", "quantize", "bench", "perplexity", "plan"):
        Run(command).mistake("missing argument")
        Run(command, "a", "--frobnicate").mistake("--frobnicate", f"llama4 {command} --help")
        Run(command, "a", "-Z").mistake("-Z")
        Run(command, "a", "b", "c").mistake("too many")
    Run("run", MODEL, "-p").mistake("-p needs a value")
    for command in (("run", "-p", "x"), ("chat",)):
        Run(*command, MODEL, "--kv", "q4_0").mistake("--kv 'q4_0' is not one of i16, q8_0, f16, f32")
    Run("run", MODEL, "--prompt").mistake("--prompt needs a value")
    Run("run", MODEL, "--json=1", "-p", "x").mistake("--json takes no value")
    Run("info", MODEL, "--tensors=yes").mistake("--tensors takes no value")
    Run("info").mistake("missing argument")
    Run("convert", "a").mistake("missing argument")


@test
def bad_numbers():
    for name, values in {
            "--temp": ("", "x", "-1", "0,6", "1e3", "nan", "inf", "0x1", " 1", "1 ", ".", "1.2.3", "1000000"),
            "--top-p": ("1.1", "-0.1", "9"),
            "--min-p": ("2",),
            "--top-k": ("-1", "1.5", "2147483648", "99999999999999999999"),
            "-n": ("-1", "x", "1k", "9223372036854775808"),
            "--seed": ("-1", "18446744073709551616", "1.0"),
            "--threads": ("65", "-1"),
            "--context": ("16777217",)}.items():
        for value in values:
            Run("run", MODEL, "-p", "x", name, value).mistake("needs a", f"'{value}'")
    for ids in ("", " ", "1 x", "-1", "1.0", "2147483648", "1;2", "99999999999999999999"):
        Run("run", MODEL, "--ids", ids).mistake("--ids")


@test
def contradictions():
    Run("run", MODEL).mistake("-p, -f and --ids")
    Run("run", MODEL, "-p", "x", "-f", "y").mistake("-p, -f and --ids")
    Run("run", MODEL, "-p", "x", "--ids", "1").mistake("-p, -f and --ids")
    Run("run", MODEL, "--raw", "--ids", "1").mistake("--raw")
    Run("run", MODEL, "--raw", "--system", "x", "-p", "y").mistake("--system")
    Run("run", MODEL, "-p", "x", "--json", "--print-ids").mistake("--print-ids")
    Run("tokenize", MODEL).mistake("TEXT")
    Run("tokenize", MODEL, "text", "-f", "file").mistake("TEXT")
    Run("convert", MODEL, "out", "--type", "q9_9").mistake("q9_9")
    Run("convert", MODEL, "out", "--imatrix", "file").mistake("imatrix")


# ---- Files that are not what they should be ----


@test
def missing_files():
    for arguments in (("run", "nowhere.gguf", "-p", "x"), ("chat", "nowhere.gguf"), ("info", "nowhere.gguf"), ("tokenize", "nowhere.gguf", "x"),
                      ("convert", "nowhere", TEMP / "out.gguf")):
        Run(*arguments).failure("nowhere")
    check(not (TEMP / "out.gguf").exists(), "a failed conversion left a file")
    Run("run", MODEL, "-f", "nowhere.txt").failure("nowhere.txt")
    Run("tokenize", MODEL, "-f", "nowhere.txt").failure("nowhere.txt")
    Run("run", MODEL, "-f", TEMP).failure(str(TEMP))
    Run("run", MODEL, "-p", "x", "--vocab", "nowhere.json").failure("nowhere.json")
    Run("convert", MODEL, TEMP / "no/such/folder/out.gguf").failure("out.gguf")


@test
def corrupt_files():
    data = MODEL.read_bytes()
    broken = TEMP / "broken.gguf"
    for bad in (b"", b"GGUF", data[:5000], data[:len(data) // 2], b"XXXX" + data[4:], data[:4] + b"\x09" + data[5:]):
        broken.write_bytes(bad)
        Run("info", broken).failure("broken.gguf")
        Run("run", broken, "-p", "x").failure("broken.gguf")
        Run("tokenize", broken, "x").failure("broken.gguf")
    empty = TEMP / "empty"
    empty.mkdir()
    Run("info", empty).failure("empty")


@test
def invalid_utf8():
    Run("run", MODEL, "-f", "-", stdin=b"abc\xff").failure("UTF-8")
    Run("tokenize", MODEL, "-", stdin=b"\xc3").failure("UTF-8")
    Run("tokenize", MODEL, b"\xed\xa0\x80").failure("UTF-8")
    Run("run", MODEL, "-p", b"\xf5").failure("UTF-8")


# ---- run ----


@test
def run_answers():
    equal(Run("run", MODEL, "-p", QUESTION, "--temp", "0").quiet().out, ANSWER + "\n")
    equal(Run("run", MODEL, "-f", "-", "--temp=0", stdin=QUESTION.encode()).quiet().out, ANSWER + "\n")
    (TEMP / "question.txt").write_text(QUESTION)
    equal(Run("run", "--file", TEMP / "question.txt", "--temp", "0.0", "--", MODEL).quiet().out, ANSWER + "\n")


@test
def run_options_do_not_change_the_answer():
    for more in (["--threads", "1"], ["-t2"], ["--threads=5"], ["--context", "512"], ["-n", "100"], ["--seed", "18446744073709551615"],
                 ["--kv", "q8_0"], ["--kv", "f32"]):
        equal(Run("run", MODEL, "-p", QUESTION, "--temp", "0", *more).quiet().out, ANSWER + "\n", str(more))


@test
def run_ids_and_json():
    arguments = ["run", MODEL, "-p", QUESTION, "--temp", "0"]
    result = json.loads(Run(*arguments, "--json").quiet().out)
    equal(result["text"], ANSWER)
    equal(result["stopped"], "stop token")
    equal(result["prompt_tokens"], len(result["prompt_ids"]))
    equal(result["generated_tokens"], len(result["ids"]))
    for name in ("seconds", "load_seconds", "prompt_seconds", "generate_seconds", "tokens_per_second", "prompt_tokens_per_second"):
        check(result[name] > 0, f"{name} is {result[name]}")
    ids = " ".join(map(str, result["ids"]))
    equal(Run(*arguments, "--print-ids").quiet().out, ids + "\n")
    prompt = " ".join(map(str, result["prompt_ids"]))
    equal(Run("run", MODEL, "--ids", prompt, "--temp", "0", "--print-ids").quiet().out, ids + "\n")
    equal(Run("run", MODEL, "--ids", prompt.replace(" ", ","), "--temp", "0").quiet().out, ANSWER + "\n")
    eot = Run("tokenize", MODEL, "--special", "<|eot|>").quiet().out.strip()
    equal(ids.split()[-1], eot, "the last id")


@test
def run_system_message():
    system = "You can call get_weather(city) and get_time(city). Answer a question they serve with one JSON call."
    answer = Run("run", MODEL, "--system", system, "-p", "Is it raining in Tokyo?", "--temp", "0").quiet().out
    call = json.loads(answer)
    equal((call["name"], call["parameters"]), ("get_weather", {"city": "Tokyo"}))


@test
def run_limits():
    three = json.loads(Run("run", MODEL, "-p", QUESTION, "--temp", "0", "-n3", "--json").quiet().out)
    equal((three["stopped"], three["generated_tokens"]), ("limit", 3))
    raw = json.loads(Run("run", MODEL, "--raw", "-p", "The with statement", "--json", "--ignore-stop").quiet().out)
    equal((raw["stopped"], raw["generated_tokens"]), ("limit", 256))
    ids = Run("tokenize", MODEL, "--bos", "The with statement").quiet().out.split()
    equal([str(i) for i in raw["prompt_ids"]], ids, "--raw puts one BOS before the text")
    full = Run("run", MODEL, "--raw", "-p", "a", "--context", "40", "-n", "0", "--ignore-stop", "--json").ok()
    check("full" in full.err, "a full context is not mentioned")
    full = json.loads(full.out)
    equal((full["stopped"], full["prompt_tokens"] + full["generated_tokens"]), ("context full", 41))
    Run("run", MODEL, "-p", QUESTION, "--context", "5").failure("5")
    Run("run", MODEL, "--ids", "1 2000000").failure("2000000")


@test
def run_ignores_stop():
    stopped = Run("run", MODEL, "-p", QUESTION, "--temp", "0", "--print-ids").quiet().out.split()
    longer = Run("run", MODEL, "-p", QUESTION, "--temp", "0", "--print-ids", "--ignore-stop", "-n", "20").quiet().out.split()
    equal(len(longer), 20)
    equal(longer[:len(stopped)], stopped)


@test
def run_draws_by_seed():
    def text(*more):
        return Run("run", MODEL, "--raw", "-p", "The", "-n", "40", "--temp", "1.5", *more).quiet().out
    equal(text("--seed", "5"), text("--seed=5", "--threads", "1"), "the same seed")
    equal(text(), text("--seed", "0"), "the default seed")
    check(len({text("--seed", str(seed)) for seed in range(4)}) > 1, "four seeds give one text")
    greedy = Run("run", MODEL, "--raw", "-p", "The", "-n", "40", "--temp", "0").quiet().out
    equal(text("--top-k", "1"), greedy, "top-k 1")
    equal(text("--top-p", "0"), greedy, "top-p 0")
    equal(text("--min-p", "1"), greedy, "min-p 1")


@test
def run_stats():
    result = Run("run", MODEL, "-p", QUESTION, "--temp", "0", "--stats").ok()
    equal(result.out, ANSWER + "\n")
    check("tokens/s" in result.err and "context: " in result.err, f"no figures in {result.err!r}")


# ---- info, tokenize, convert ----


@test
def info_table_and_json():
    table = Run("info", MODEL).quiet().out
    for word in ("layers", "parameters", "Q8_0", "vocabulary", "context"):
        check(word in table, f"{word} is not in the table")
    data = json.loads(Run("info", MODEL, "--json").quiet().out)
    equal((data["layers"], data["experts"], data["vocab_size"], data["has_vocabulary"]), (8, 4, 2048, True))
    equal(sum(t["tensors"] for t in data["types"]), data["tensors"])
    equal(sum(t["bytes"] for t in data["types"]), data["tensor_bytes"])
    check("tensor_list" not in data, "the list was not asked for")
    listed = json.loads(Run("info", "--json", "--tensors", MODEL).quiet().out)["tensor_list"]
    equal(len(listed), data["tensors"])
    text = Run("info", "--tensors", MODEL).quiet().out
    for tensor in listed:
        check(tensor["name"] in text, f"{tensor['name']} is not listed")
    paths = {tensor["name"]: tensor["path"] for tensor in listed}
    equal([paths[name] for name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate_inp.weight", "blk.0.attn_norm.weight")],
          ["rows", "int8", "float", "vector"])
    size = MODEL.stat().st_size
    check(all(0 < t["offset"] <= size - t["bytes"] for t in listed), "an offset lies outside the file")


@test
def info_start_time():
    times = []
    for _ in range(10):
        start = time.perf_counter()
        Run("info", MODEL)
        times.append(time.perf_counter() - start)
    print(f"llama4 info takes {min(times) * 1e3:.1f} ms, the start of the process included")


@test
def tokenize_forms():
    text = "Hello, 世界! it's 12345\n\n  x <|eot|>"
    ids = Run("tokenize", MODEL, text).quiet().out
    check(re.fullmatch(r"\d+( \d+)*\n", ids), f"{ids!r} is not one line of ids")
    equal(Run("tokenize", MODEL, "-", stdin=text.encode()).quiet().out, ids)
    (TEMP / "text.txt").write_bytes(text.encode())
    equal(Run("tokenize", "-f", TEMP / "text.txt", MODEL).quiet().out, ids)
    equal(Run("tokenize", MODEL, "").quiet().out, "\n")
    special = Run("tokenize", MODEL, "--special", text).quiet().out.split()
    check(len(special) < len(ids.split()), "--special changes nothing")
    bos = Run("tokenize", MODEL, "--bos", text).quiet().out.split()
    equal(bos[1:], ids.split())
    pieces = [line.split("\t", 1) for line in Run("tokenize", "--pieces", MODEL, text).quiet().out.splitlines()]
    equal([p[0] for p in pieces], ids.split())
    joined = b"".join(p[1].encode() for p in pieces)
    joined = re.sub(rb"\\(\\|x[0-9a-f]{2})", lambda m: b"\\" if m[1] == b"\\" else bytes([int(m[1][1:], 16)]), joined)
    equal(joined.decode(), text, "the pieces")
    Run("tokenize", MODEL, "-text").mistake("-t")
    Run("tokenize", MODEL, "--", "-text").quiet()


@test
def convert_round_trip():
    out, again = TEMP / "converted.gguf", TEMP / "again.gguf"
    result = Run("convert", MODEL, out).ok()
    equal(result.out, "")
    check("converted.gguf" in result.err, "no summary")
    equal(Run("run", out, "-p", QUESTION, "--temp", "0").quiet().out, ANSWER + "\n")
    Run("convert", out, again, "--type", "q8_0").ok()
    equal(again.read_bytes(), out.read_bytes(), "a second conversion")
    for kind in ("f32", "f16", "bf16", "q4_0"):
        Run("convert", MODEL, out, "--type", kind).ok()
        data = json.loads(Run("info", out, "--json").quiet().out)
        equal(data["type"].lower(), kind)
    equal(sorted(p.name for p in TEMP.glob("*converted*")), ["converted.gguf"], "files left")
    before = out.read_bytes()
    (TEMP / "junk.gguf").write_bytes(b"junk")
    Run("convert", TEMP / "junk.gguf", out).failure("junk.gguf")
    equal(out.read_bytes() == before, True, "a failed conversion keeps the old file: that")


@test
def quantize():
    """Files of several types load and answer, and a mix has the types that it promises. tests/kernels/test_quantize.c has all types."""
    out, sizes = TEMP / "quantised.gguf", []
    for kind in ("q2_k", "Q4_0", "q4_k_m"):
        result = Run("quantize", MODEL, out, "--type", kind).ok()
        check("quantised.gguf" in result.err, "no summary")
        sizes.append(out.stat().st_size)
        equal(len(Run("run", out, "-p", QUESTION, "--temp", "0", "-n", "4").ok().out) > 0, True)
    check(sizes[0] < sizes[1] < sizes[2], str(sizes))
    types = {t["name"]: t["type"] for t in json.loads(Run("info", "--json", "--tensors", out).quiet().out)["tensor_list"]}
    equal([types[n] for n in ("output_norm.weight", "token_embd.weight", "blk.0.attn_q.weight", "blk.7.attn_v.weight", "blk.7.ffn_down_exps.weight",
                              "blk.0.ffn_gate_inp.weight")], ["F32", "Q4_K", "Q4_K", "Q6_K", "Q6_K", "F32"])
    Run("quantize", MODEL, out).mistake("--type")
    Run("quantize", MODEL, out, "--type", "q9_k").mistake("q9_k")
    Run("quantize", MODEL, out, "--type", "f16").mistake("f16")
    Run("quantize", out, out, "--type", "q4_0").failure("quantised.gguf")


# ---- chat ----


@test
def chat_over_a_pipe():
    result = Run("chat", MODEL, "--temp", "0", stdin=f"{QUESTION}\nWhat is 0 + 14?\n".encode()).quiet()
    equal(result.out, ANSWER + "\n0 + 14 = 14.\n")
    equal(Run("chat", MODEL, "--temp", "0", stdin=QUESTION.encode()).quiet().out, ANSWER + "\n", "without a line end")
    equal(Run("chat", MODEL, stdin=b"").quiet().out, "")
    equal(Run("chat", MODEL, stdin=b"\n\n").quiet().out, "")
    equal(Run("chat", MODEL, "--temp", "0", stdin=f"{QUESTION}\r\n".encode()).quiet().out, ANSWER + "\n", "with a CR")
    long = "a " * 3000
    Run("chat", MODEL, "--temp", "0", "-n", "2", stdin=f"{long}\n".encode()).quiet()


@test
def chat_first_turn_equals_run():
    message = "Explain\nif."
    one = Run("run", MODEL, "-p", message, "--temp", "0").quiet().out
    equal(Run("chat", MODEL, "--temp", "0", stdin=b"Explain\\\nif.\n").quiet().out, one, "a continued line")


@test
def chat_commands():
    system = "You can call get_weather(city) and get_time(city). Answer a question they serve with one JSON call."
    want = Run("run", MODEL, "--system", system, "-p", "Is it raining in Tokyo?", "--temp", "0").quiet().out
    lines = f"{QUESTION}\n/system {system}\nIs it raining in Tokyo?\n/stats\n/help\n/quit\n{QUESTION}\n"
    result = Run("chat", MODEL, "--temp", "0", stdin=lines.encode()).ok()
    equal(result.out, ANSWER + "\n" + want)
    check("tokens/s" in result.err and "/reset" in result.err, "no /stats or /help")
    reset = Run("chat", MODEL, "--temp", "0", stdin=f"{QUESTION}\n/reset\n{QUESTION}\n".encode()).quiet()
    equal(reset.out, (ANSWER + "\n") * 2)
    wrong = Run("chat", MODEL, stdin=b"/frobnicate\n")
    equal(wrong.status, 1)
    check("/frobnicate" in wrong.err, "unknown command not named")


@test
def chat_full_context():
    result = Run("chat", MODEL, "--temp", "0", "--context", "40", stdin=f"{QUESTION}\n{QUESTION}\n/reset\n{QUESTION}\n".encode())
    check("full" in result.err and "/reset" in result.err, f"no word about the full context: {result.err!r}")
    check(result.out.startswith(ANSWER + "\n") and result.out.endswith(ANSWER + "\n"), f"answers are {result.out!r}")


@test
def chat_bad_message_goes_on():
    result = Run("chat", MODEL, "--temp", "0", stdin=b"a\xffb\n" + QUESTION.encode() + b"\n")
    equal((result.status, result.out), (1, ANSWER + "\n"))
    check("UTF-8" in result.err, "no word about UTF-8")


# ---- Streams and signals ----


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, *arguments):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(PROGRAM, [PROGRAM, *map(os.fspath, arguments)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text, seconds=30.0):
        """Reads until the text comes and forgets what came with it."""
        end = time.monotonic() + seconds
        while text.encode() not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
            check(ready, f"waited for {text!r}, saw {self.seen!r}")
            try:
                more = os.read(self.fd, 4096)
            except OSError:
                more = b""
            check(more, f"{text!r} never came, only {self.seen!r}")
            self.seen += more
        self.seen = self.seen.split(text.encode(), 1)[1]

    def status(self, seconds=60.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        check(False, "the program does not end")


@test
def chat_on_a_terminal():
    with Terminal("chat", MODEL, "--temp", "0") as terminal:
        terminal.expect("> ")
        terminal.type(QUESTION + "\n")
        terminal.expect(ANSWER)
        terminal.expect("> ")
        terminal.type("\x03")
        terminal.expect("leaves)")
        terminal.expect("> ")
        terminal.type(QUESTION + "\n")  # one Ctrl-C does not end it, nor the next answer
        terminal.expect(ANSWER)
        terminal.expect("> ")
        terminal.type("\x03")
        terminal.expect("leaves)")
        terminal.type("\x03")
        equal(terminal.status(), 0, "status")


@test
def interrupts_stop_a_generation():
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([PROGRAM, "run", MODEL, "--raw", "-p", "a", "-n", "0", "--ignore-stop", "--print-ids"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, bufsize=0)
        head = process.stdout.read(10)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        equal((process.returncode, err), (128 + number, b""))
        check(re.fullmatch(rb"\d+( \d+)*\n", head + out), "the line of ids is not whole")


@test
def chat_answer_can_be_stopped():
    with Terminal("chat", MODEL, "--temp", "0", "--stats") as terminal:
        terminal.expect("> ")
        terminal.type("word " * 700 + "\\\n" + "word " * 700 + "\n")  # the prompt alone takes a while
        time.sleep(0.1)
        terminal.type("\x03")
        terminal.expect("> ")
        terminal.type("/reset\n")
        terminal.expect("> ")
        terminal.type(QUESTION + "\n")
        terminal.expect(ANSWER)
        terminal.expect("> ")
        terminal.type("\x04")
        equal(terminal.status(), 0, "status")


@test
def lost_output_is_a_failure():
    commands = (["run", MODEL, "-p", QUESTION, "--temp", "0"], ["info", MODEL], ["info", MODEL, "--json", "--tensors"], ["tokenize", MODEL, "x"],
                ["--help"], ["--version"], ["run", "--help"])
    for command in commands:
        if os.path.exists("/dev/full"):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, timeout=60)
            check(done.returncode == 1 and b"standard output" in done.stderr, f"{command[0]} on a full disk: {done.returncode} {done.stderr!r}")
        closed = subprocess.run(["sh", "-c", 'exec "$0" "$@" >&-', PROGRAM, *command], stderr=subprocess.PIPE, timeout=60)
        check(closed.returncode == 1 and b"standard output" in closed.stderr, f"{command[0]} with closed output: {closed.returncode}")
    process = subprocess.Popen([PROGRAM, "run", MODEL, "--raw", "-p", "a", "-n", "0", "--ignore-stop"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    equal(process.wait(timeout=60), 1, "status after a closed pipe")
    check(b"standard output" in process.stderr.read(), "no message")
    process.stderr.close()


@test
def conversion_survives_closed_streams():
    out = TEMP / "closed.gguf"
    done = subprocess.run(["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', PROGRAM, "convert", MODEL, out], timeout=60)
    equal(done.returncode, 0)
    Run("convert", MODEL, TEMP / "open.gguf").ok()
    equal(out.read_bytes() == (TEMP / "open.gguf").read_bytes(), True, "the file")


@test
def other_locales():
    names = subprocess.run(["locale", "-a"], stdout=subprocess.PIPE, check=False).stdout.decode().split() if shutil.which("locale") else []
    comma = [n for n in names if n.startswith(("de_", "fr_"))]
    if not comma:
        raise Skip("no locale with a decimal comma here")
    env = dict(os.environ, LC_ALL=comma[0])
    result = json.loads(Run("run", MODEL, "-p", QUESTION, "--temp", "0.5", "--json", env=env).quiet().out)
    check(result["seconds"] > 0, "seconds")
    Run("run", MODEL, "-p", "x", "--temp", "0,5", env=env).mistake("0,5")


def main():
    global PROGRAM, ROOT, MODEL, TEMP
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    PROGRAM, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    MODEL = ROOT / "examples/models/llama4-tiny.gguf"
    if not MODEL.exists():
        print(f"FAILED setup: {MODEL} is not there")
        print("0 passed, 1 failed")
        return 1
    passed = failed = skipped = 0
    wanted = sys.argv[3:]
    for function in TESTS:
        if wanted and function.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory(prefix="llama4-cli-") as folder:
            TEMP = pathlib.Path(folder)
            try:
                function()
            except Skip as why:
                skipped += 1
                print(f"skipped {function.__name__}: {why}", flush=True)
            except Exception as error:  # a test that breaks has failed, whatever broke
                failed += 1
                print(f"FAILED {function.__name__}: {type(error).__name__}: {error}", flush=True)
            else:
                passed += 1
                print(f"ok {function.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed + skipped else 0


if __name__ == "__main__":
    sys.exit(main())
