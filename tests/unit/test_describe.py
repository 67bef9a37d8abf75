#!/usr/bin/env python3
"""examples/describe from outside: captions as lines of JSON, by inotify and by looking.

    test_describe.py DESCRIBE_BINARY REPO_ROOT [NAME...]

Prints as test_cli.py does."""
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
import test_cli as cli
from test_cli import Skip, check, equal, test

cli.TESTS.clear()


def encoder():
    return cli.ROOT / "examples/models/llama4-tiny-mmproj.gguf"


def reference():
    """Pictures, and what the reference says of them."""
    folder = cli.ROOT / "tests/data/llama4-tiny"
    cases = [c for c in json.loads((folder / "reference.json").read_text())["cases"] if "image" in c]
    return [(folder / c["image"], c["text"]) for c in cases]


def command(*arguments):
    return [cli.PROGRAM, "--mmproj", encoder(), *map(os.fspath, arguments)]


def once(folder, *options):
    done = subprocess.run(command("--once", *options, cli.MODEL, folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    if b"built without" in done.stdout:
        raise Skip("the library was built without decoders")
    equal(done.returncode, 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Watching:
    """The program at work on a folder; lines of it as they come."""

    def __init__(self, folder, *options):
        self.process = subprocess.Popen(command(*options, cli.MODEL, folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines, self.said = queue.Queue(), queue.Queue()
        for stream, to in ((self.process.stdout, self.lines), (self.process.stderr, self.said)):
            threading.Thread(target=lambda s=stream, q=to: ([q.put(line) for line in s], q.put(None)), daemon=True).start()
        check(b"watching" in self.said.get(timeout=60), "it does not watch")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(60)

    def next(self):
        line = self.lines.get(timeout=60)
        check(line is not None, "the program has ended")
        return json.loads(line)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        equal(self.process.wait(60), 0, "status")
        equal(self.lines.get(timeout=60), None, "rest of the output")


def moved(source, folder, name):
    """There all at once."""
    shutil.copy(source, folder / ".coming")
    (folder / ".coming").rename(folder / name)


@test
def what_lies_there():
    want = []
    for i, (path, text) in enumerate(reference()):
        shutil.copy(path, cli.TEMP / f"{i}.png")
        want.append({"file": f"{i}.png", "caption": text})
    shutil.copy(cli.TEMP / "0.png", cli.TEMP / "4.JPEG")
    want.append({"file": "4.JPEG", "caption": want[0]["caption"]})
    (cli.TEMP / "notes.txt").write_text("no picture")
    (cli.TEMP / ".hidden.png").write_text("no picture")
    (cli.TEMP / "folder.png").mkdir()
    equal(once(cli.TEMP), want)
    equal(once(cli.TEMP, "--max-tokens", "2", "--threads", "1")[0]["cut"], True)
    different = once(cli.TEMP, "--prompt", "What is in the picture?")
    equal([line["file"] for line in different], [line["file"] for line in want])


@test
def bad_pictures_do_not_stop_it():
    (path, text), data = reference()[0], reference()[0][0].read_bytes()
    bomb = data[:16] + (1 << 16).to_bytes(4, "big") * 2 + data[24:]
    for name, content in {"a.png": b"", "b.png": data[:100], "c.jpg": b"\xff\xd8\xff\xe0nonsense", "d.png": b"no picture", "e.png": bomb, "f.png": data}.items():
        (cli.TEMP / name).write_bytes(content)
    (cli.TEMP / "g.png").symlink_to("nowhere")
    lines = once(cli.TEMP)
    equal([line["file"] for line in lines], [f"{c}.{'jpg' if c == 'c' else 'png'}" for c in "abcdef"])
    check(all("error" in line and line["file"] in line["error"] for line in lines[:5]), lines)
    equal(lines[5], {"file": "f.png", "caption": text})


@test
def names_of_all_kinds():
    path, text = reference()[1]
    names = ['"quoted" \\.png', "new\nline\t.png", "Grüße \u2603.png", "bell\x07.png"]
    for name in names:
        shutil.copy(path, cli.TEMP / name)
    odd = os.fsencode(cli.TEMP) + b"/\xff\xc0\x80\xed\xa0\x80.png"
    try:
        shutil.copy(path, odd)
        names.append("\ufffd" * 6 + ".png")
    except OSError:
        pass  # some file systems want UTF-8
    equal(sorted(line["file"] for line in once(cli.TEMP)), sorted(names))


def watched(come, *options):
    """New pictures one after the other; come(source, folder, name) brings one."""
    (first, first_text), (other, other_text) = reference()[:2]
    shutil.copy(first, cli.TEMP / "old.png")
    with Watching(cli.TEMP, *options) as w:
        moved(first, cli.TEMP, "moved.png")
        equal(w.next(), {"file": "moved.png", "caption": first_text})
        come(other, cli.TEMP, "copied.png")
        equal(w.next(), {"file": "copied.png", "caption": other_text})
        moved(cli.ROOT / "README.md", cli.TEMP, "bad.png")
        check("bad.png" in w.next()["error"], "no error")
        (cli.TEMP / "notes.txt").write_text("no picture")
        (cli.TEMP / "copied.png").unlink()
        moved(other, cli.TEMP, "old.png")  # another picture of an old name
        equal(w.next(), {"file": "old.png", "caption": other_text})
        moved(first, cli.TEMP, "copied.png")
        equal(w.next(), {"file": "copied.png", "caption": first_text})
        w.end()


@test
def new_pictures_by_events():
    watched(lambda source, folder, name: shutil.copy(source, folder / name))


@test
def new_pictures_by_looking():
    watched(moved, "--poll", "0.05")


@test
def a_picture_in_pieces():
    """By events, a picture counts when its writer closes it."""
    if not sys.platform.startswith("linux"):
        raise Skip("no inotify here")
    path, text = reference()[0]
    data = path.read_bytes()
    with Watching(cli.TEMP) as w:
        with open(cli.TEMP / "slow.png", "wb") as slow:
            slow.write(data[:1000])
            slow.flush()
            moved(path, cli.TEMP, "quick.png")
            equal(w.next(), {"file": "quick.png", "caption": text})
            slow.write(data[1000:])
        equal(w.next(), {"file": "slow.png", "caption": text})
        w.end(signal.SIGINT)


@test
def what_lay_there_before_is_new_if_wanted():
    for options in (["--existing"], ["--existing", "--poll", "0.05"]):
        folder = cli.TEMP / options[-1].strip("-")
        folder.mkdir()
        shutil.copy(reference()[2][0], folder / "a.png")
        with Watching(folder, *options) as w:
            equal(w.next(), {"file": "a.png", "caption": reference()[2][1]})
            moved(reference()[0][0], folder, "b.png")
            equal(w.next()["file"], "b.png")
            w.end()


@test
def the_folder_goes():
    for options in ([], ["--poll", "0.05"]):
        folder = cli.TEMP / "folder"
        folder.mkdir()
        with Watching(folder, *options) as w:
            folder.rmdir()
            equal(w.process.wait(60), 1, "status")
            check(b"folder" in w.said.get(timeout=60), "no message")


@test
def many_at_once():
    path, text = reference()[0]
    names = [f"{i:03}.png" for i in range(60)]
    with Watching(cli.TEMP) as w:
        for name in names:
            shutil.copy(path, cli.TEMP / name)
        equal([w.next() for _ in names], [{"file": name, "caption": text} for name in names])
        w.end()


@test
def mistakes():
    def run(*arguments):
        done = subprocess.run([cli.PROGRAM, *map(os.fspath, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    status, out, err = run("--help")
    check(status == 0 and out.startswith("Usage: describe") and not err, (status, err))
    for arguments, word in (((), "MODEL"), ((cli.MODEL,), "FOLDER"), ((cli.MODEL, cli.TEMP, "x"), "too many"), (("--nothing",), "unknown"),
                            (("--threads",), "needs a value"), (("--threads", "x", cli.MODEL, cli.TEMP), "number"), (("--poll", "0"), "number"),
                            (("--max-tokens", "-1"), "number")):
        status, out, err = run(*arguments)
        check(status == 2 and not out and word in err and "Usage" in err, (arguments, status, err))
    for arguments, word in (((cli.MODEL, cli.TEMP), "--mmproj"), (("nowhere.gguf", cli.TEMP), "nowhere.gguf"),
                            (("--mmproj", encoder(), cli.MODEL, cli.TEMP / "nowhere"), "nowhere"), (("--mmproj", cli.MODEL, cli.MODEL, cli.TEMP), "picture encoder")):
        status, out, err = run(*arguments)
        check(status == 1 and not out and err.startswith("describe: ") and word in err, (arguments, status, err))
    shutil.copy(reference()[0][0], cli.TEMP / "a.png")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(command("--once", cli.MODEL, cli.TEMP), stdout=full, stderr=subprocess.PIPE, timeout=60)
        check(done.returncode == 1 and b"cannot be written" in done.stderr, done)


if __name__ == "__main__":
    sys.exit(cli.main())
