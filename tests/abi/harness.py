"""What the tests of the ABI share: counting, running tools, and the places of things."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ABI = pathlib.Path(__file__).resolve().parent
ROOT = ABI.parents[1]
INCLUDE = ROOT / "include"
MODEL = ROOT / "examples/models/llama4-tiny.gguf"
V1 = ABI / "v1"


class Suite:
    """Prints "ok NAME", "FAILED NAME" with what was said, or "skipped NAME: why", and counts."""

    def __init__(self, build, python=None):
        self.build = pathlib.Path(build).resolve()
        self.cc = os.environ.get("CC", "cc").split()
        self.passed = self.failed = self.skipped = 0
        self.python = self.find_python(python)
        self._scratch = tempfile.TemporaryDirectory(prefix="llama4-abi-")
        self.scratch = pathlib.Path(self._scratch.name)
        self.api = json.loads((ROOT / "bindings/api.json").read_text(encoding="utf-8"))
        self.version = version(INCLUDE / "llama4/version.h")
        self.soname = f"libllama4.so.{self.version[0]}"
        self.shared = self.build / "libllama4.so"
        self.static = self.build / "libllama4.a"
        self.static_needs = ["-lm", *self.decoders()]

    def decoders(self):
        """What a static link takes for pictures: the libraries that the build's pkg-config file names."""
        text = (self.build / "meson-private/llama4.pc").read_text()
        names = re.findall(r"[\w.+-]+", " ".join(re.findall(r"^Requires.private:(.*)$", text, re.M)))
        tool = have("pkg-config", "pkgconf")
        return run([tool, "--libs", *names]).stdout.split() if names and tool else []

    def find_python(self, given):
        """A Python with libclang, or None."""
        places = [given] if given else [self.build / "venv-generate/bin/python", ROOT / "build/venv-generate/bin/python", sys.executable]
        probe = "from clang.cindex import Index; Index.create()"
        for place in places:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                if subprocess.run([str(place), "-c", probe], capture_output=True, timeout=60).returncode == 0:
                    return str(place)
        return None

    def ok(self, name, good, said=""):
        if good:
            print(f"ok {name}", flush=True)
            self.passed += 1
        else:
            print(f"FAILED {name}", flush=True)
            for line in str(said).splitlines()[:40]:
                print(f"    {line}")
            self.failed += 1
        return bool(good)

    def skip(self, name, why):
        print(f"skipped {name}: {why}", flush=True)
        self.skipped += 1

    def succeeds(self, name, command, **more):
        r = run(command, **more)
        return self.ok(name, r.returncode == 0, f"$ {' '.join(map(str, command))}\nstatus {r.returncode}\n{r.stdout}{r.stderr}")

    def program(self, name, command, **more):
        """A program that closes with a line of its own; its counts are added to ours."""
        r = run(command, **more)
        closing = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", r.stdout, re.M)
        if not closing:
            return self.ok(name, False, f"status {r.returncode}, no closing line\n{r.stdout[-2000:]}{r.stderr}")
        passed, failed, skipped = (int(x or 0) for x in closing[-1])
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        print(f"{'FAILED' if failed else 'ok'} {name}: {passed} passed, {failed} failed")
        for line in r.stdout.splitlines():
            if line.startswith(("FAILED", "skipped")):
                print(f"    {line}")
        if r.returncode and not failed:
            return self.ok(name, False, f"status {r.returncode}, though no step failed\n{r.stderr}")
        return not failed

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else ""))
        self._scratch.cleanup()
        return 1 if self.failed or not self.passed else 0


def run(command, timeout=300, **more):
    try:
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", timeout=timeout, **more)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"still running after {timeout} s")
    except OSError as e:
        return subprocess.CompletedProcess(command, 127, "", str(e))


def with_library(build, **more):
    """The environment in which programs find the library of a build folder, and no other."""
    return {**os.environ, "LD_LIBRARY_PATH": str(build), **more}


def version(header):
    numbers = dict(re.findall(r"#define LLAMA4_VERSION_(\w+) (\d+)", header.read_text()))
    return tuple(int(numbers[part]) for part in ("MAJOR", "MINOR", "PATCH"))


def have(*tools):
    return next((t for t in tools if shutil.which(t)), None)


def read_map(path):
    """The version nodes of a linker map, in order: [(node, parent or None, [symbols])]"""
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", path.read_text(), flags=re.S)
    nodes = []
    for name, body, parent in re.findall(r"(\w+(?:\.\w+)*)\s*\{(.*?)\}\s*([\w.]*)\s*;", text, re.S):
        exported = re.search(r"global:(.*?)(?:local:|$)", body, re.S)
        nodes.append((name, parent or None, re.findall(r"[^\s;]+", exported.group(1)) if exported else []))
    return nodes


def constants(header):
    """name: value of the integer constants of a header, read without a compiler."""
    found = re.findall(r"^#define (LLAMA4_\w+) \(?(-?(?:0x[0-9a-fA-F]+|\d+))u?\)?\s*(?:/\*.*)?$", header.read_text(), re.M)
    return {name: int(value, 0) for name, value in found}
