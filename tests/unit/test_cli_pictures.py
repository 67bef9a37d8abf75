#!/usr/bin/env python3
"""Pictures from outside: llama4 run --image, /image in llama4 chat, llama4 convert --mmproj and llama4 info.

    test_cli_pictures.py LLAMA4_BINARY REPO_ROOT [NAME...]

Prints as test_cli.py does."""
import json
import pathlib
import shutil
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
import test_cli as cli
from test_cli import Run, Skip, check, equal, test

cli.TESTS.clear()
PLAIN = ["--temp", "0", "-n", "6"]


def seeing():
    return cli.ROOT / "tests/golden/vision/model"


def picture(n):
    return cli.ROOT / f"tests/golden/vision/image{n}.png"


def needs_png():
    if "built without" in Run("run", seeing(), "--image", picture(0), "-p", "x", *PLAIN).err:
        raise Skip("the library was built without libpng")


def converted():
    text, vision = cli.TEMP / "text.gguf", cli.TEMP / "vision.gguf"
    Run("convert", seeing(), text, "--mmproj", vision, "--type", "f32").ok()
    return text, vision


@test
def images_change_the_answer():
    needs_png()
    seen = {}
    for n in (0, 1, 2):
        made = json.loads(Run("run", seeing(), "--image", picture(n), "-p", "What is this?", *PLAIN, "--json").quiet().out)
        seen[n] = made["ids"], made["prompt_ids"].count(639)  # <|patch|>
    equal([seen[n][1] for n in (0, 1, 2)], [4, 12, 16], "embeddings")
    check(seen[0][0] != seen[1][0], "two pictures, one answer")
    both = json.loads(Run("run", seeing(), "-i", picture(0), "--image", picture(1), "-p", "What is this?", *PLAIN, "--json").quiet().out)
    equal(both["prompt_ids"].count(639), 16, "embeddings of two")
    equal(Run("run", seeing(), "-i", picture(0), "-p", "What is this?", *PLAIN, "--threads", "1", "--print-ids").quiet().out,
          " ".join(map(str, seen[0][0])) + "\n", "with one thread")


@test
def content_counts_and_not_the_name():
    needs_png()
    mislabelled = cli.TEMP / "picture.jpg"
    shutil.copy(picture(0), mislabelled)
    ask = ["-p", "What is this?", *PLAIN, "--print-ids"]
    equal(Run("run", seeing(), "-i", mislabelled, *ask).quiet().out, Run("run", seeing(), "-i", picture(0), *ask).quiet().out, "ids")
    (cli.TEMP / "text.png").write_text("not a picture at all")
    Run("run", seeing(), "-i", cli.TEMP / "text.png", "-p", "x").failure("text.png", "neither PNG nor JPEG")
    (cli.TEMP / "empty.png").write_bytes(b"")
    Run("run", seeing(), "-i", cli.TEMP / "empty.png", "-p", "x").failure("empty.png")


@test
def more_pictures_than_the_context_holds():
    needs_png()
    Run("run", seeing(), *["-i", picture(1)] * 12, "-p", "x", "--context", "64").failure("the pictures take", "64 positions")


@test
def an_mmproj_file_is_the_same_encoder():
    needs_png()
    text, vision = converted()
    want = Run("run", seeing(), "-i", picture(1), "-p", "And this?", *PLAIN, "--print-ids").quiet().out
    equal(Run("run", text, "--mmproj", vision, "-i", picture(1), "-p", "And this?", *PLAIN, "--print-ids").quiet().out, want, "ids")
    equal(Run("run", text, "--mmproj", seeing(), "-i", picture(1), "-p", "And this?", *PLAIN, "--print-ids").quiet().out, want, "ids, from the directory")
    again = cli.TEMP / "again.gguf"
    Run("convert", vision, "--mmproj", again).ok()
    check(vision.read_bytes() == again.read_bytes(), "converting it once more changes it")
    for kind in ("f16", "q8_0"):
        small = cli.TEMP / f"{kind}.gguf"
        Run("convert", seeing(), "--mmproj", small, "--type", kind).ok()
        check(small.stat().st_size < vision.stat().st_size, f"{kind} is not smaller")
        Run("run", text, "--mmproj", small, "-i", picture(1), "-p", "And this?", *PLAIN).ok()


def renamed(data, old, new):
    """A GGUF file with another text in the names of its tensors; what lies before the data is written anew."""
    at = 8

    def number(form):
        nonlocal at
        value, = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value

    def skip(kind):
        nonlocal at
        if kind == 8:
            length = number("Q")
            at += length
        elif kind == 9:
            inner, count = number("I"), number("Q")
            for _ in range(count):
                skip(inner)
        else:
            at += {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind]
    tensors, keys = number("Q"), number("Q")
    for _ in range(keys):
        skip(8)
        skip(number("I"))
    head = data[:at]
    for _ in range(tensors):
        length = number("Q")
        name = data[at:at + length].replace(old, new)
        at += length
        rest = 4 + 8 * struct.unpack_from("<I", data, at)[0] + 12
        head += struct.pack("<Q", len(name)) + name + data[at:at + rest]
        at += rest
    return head + b"\0" * (-len(head) % 32) + data[(at + 31) // 32 * 32:]


@test
def a_misnamed_norm_is_found():
    needs_png()
    text, vision = converted()
    misnamed, foreign = cli.TEMP / "misnamed.gguf", cli.TEMP / "foreign.gguf"
    misnamed.write_bytes(renamed(vision.read_bytes(), b"ln2", b"attn_post_norm"))
    foreign.write_bytes(renamed(vision.read_bytes(), b"ln2", b"norm2"))
    ask = ["-i", picture(2), "-p", "And this?", *PLAIN, "--print-ids"]
    equal(Run("run", text, "--mmproj", misnamed, *ask).quiet().out, Run("run", text, "--mmproj", vision, *ask).quiet().out, "ids")
    Run("run", text, "--mmproj", foreign, *ask).failure("v.blk.0.ln2.weight", "missing")


@test
def info_shows_the_encoder():
    text, vision = converted()
    shape = {"layers": 3, "width": 64, "heads": 4, "feed_forward_length": 256, "tile_size": 56, "patch_size": 14, "tile_tokens": 4, "max_tiles": 4}
    for arguments in ((seeing(),), (vision,), (text, "--mmproj", vision)):
        told = json.loads(Run("info", *arguments, "--json").quiet().out)["vision"]
        equal({k: told[k] for k in shape}, shape, f"vision of {arguments}")
        table = Run("info", *arguments).quiet().out
        check("tiles of 56 x 56 pixels, 4 embeddings each, at most 4" in table, table)
    check("attention" not in Run("info", vision).quiet().out, "a picture encoder is described as a text model")
    equal(json.loads(Run("info", text, "--json").quiet().out)["vision"], None)
    check(json.loads(Run("info", vision, "--json", "--tensors").quiet().out)["tensor_list"], "no tensors")


@test
def a_chat_with_pictures():
    needs_png()
    talk = f"/image {picture(0)}\nWhat is this?\n/image {picture(1)}\n/image {picture(2)}\nAnd these?\nWell?\n".encode()
    first = Run("chat", seeing(), *PLAIN, stdin=talk).quiet().out
    equal(Run("chat", seeing(), *PLAIN, stdin=talk).quiet().out, first, "the same talk again")
    dropped = f"/image {picture(1)}\n/reset\n".encode() + talk
    equal(Run("chat", seeing(), *PLAIN, stdin=dropped).quiet().out, first, "after /reset")
    one = Run("run", seeing(), "-i", picture(0), "-p", "What is this?", *PLAIN).quiet().out
    check(first.startswith(one.rstrip("\n")), f"{first!r} does not begin with {one!r}")
    wrong = Run("chat", seeing(), *PLAIN, stdin=b"/image /nowhere.png\nWhat?\n")
    equal(wrong.status, 1, "status")
    check("/nowhere.png" in wrong.err and wrong.out, "the chat did not go on")


@test
def the_quickstart_looks_at_two_pictures():
    needs_png()
    program = pathlib.Path(cli.PROGRAM).with_name("quickstart" + pathlib.Path(cli.PROGRAM).suffix)
    done = subprocess.run([program], cwd=cli.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    equal(done.returncode, 0, done.stderr)
    told = [line.split(":", 1)[1].strip() for line in done.stdout.decode().splitlines() if line.startswith("    it s")]
    equal(len(told), 4, "descriptions")
    equal(told[3], told[2], "what it sees in the picture that comes along")
    missing = subprocess.run([program, "nowhere.gguf"], cwd=cli.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    check(missing.returncode == 1 and b"nowhere.gguf" in missing.stderr, missing)


@test
def mistakes():
    Run("run", seeing(), "--image", picture(0), "--raw", "-p", "x").mistake("--image")
    Run("run", seeing(), "--image", picture(0), "--ids", "1").mistake("--image")
    Run("run", seeing(), "-p", "x", "--image").mistake("needs a value")
    Run("run", cli.MODEL, "--image", picture(0), "-p", "x").failure("--mmproj")
    Run("run", seeing(), "--image", "/nowhere.png", "-p", "x").failure("/nowhere.png")
    Run("run", seeing(), "--image", cli.ROOT / "README.md", "-p", "x").failure("README.md", "neither PNG nor JPEG")
    Run("run", cli.MODEL, "--mmproj", cli.MODEL, "-p", "x").failure("picture encoder")
    Run("run", cli.MODEL, "--mmproj", seeing(), "-p", "x").failure("do not belong together")
    Run("convert", cli.MODEL, "--mmproj", cli.TEMP / "x.gguf").failure("picture encoder")
    Run("convert", seeing()).mistake("missing argument", "--mmproj")
    check(not (cli.TEMP / "x.gguf").exists(), "a file was left behind")
    text, vision = converted()
    Run("run", vision, "-p", "x").failure("picture encoder")
    Run("convert", vision, "--mmproj", vision).failure("vision.gguf")
    check(vision.exists(), "the file is gone")


if __name__ == "__main__":
    sys.exit(cli.main())
