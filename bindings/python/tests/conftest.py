"""LLAMA4_BUILD names the repository's build folder, which the tests compare with; build/ if it is not set."""
import os
import pathlib
import re
import subprocess

import pytest

import llama4

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("LLAMA4_BUILD", ROOT / "build")).resolve()
TINY = ROOT / "examples/models/llama4-tiny.gguf"
GOLDEN = ROOT / "tests/golden"
QUESTION = "What is 11 + 3?"
ANSWER = "11 + 3 = 14."
TOOLS_SYSTEM = "You can call get_weather(city) and get_time(city). Answer a question they serve with one JSON call."


@pytest.fixture(scope="session")
def tiny():
    """The model that comes along, for tests that leave it as it is."""
    with llama4.Model.open(TINY) as model:
        yield model


@pytest.fixture
def context(tiny):
    with tiny.context() as context:
        yield context


@pytest.fixture(scope="session")
def program():
    """The llama4 program."""
    path = BUILD / "examples/llama4"
    if not path.exists():
        pytest.skip(f"no {path}: build the repository")
    return path


def decoders():
    """What the static library needs for pictures, by the build's own pkg-config file."""
    text = (BUILD / "meson-private/llama4.pc").read_text()
    names = [name for line in re.findall("^Requires.private:(.*)$", text, re.M) for name in re.findall(r"[A-Za-z][\w.+-]*", line)]
    return subprocess.run(["pkg-config", "--libs", *names], stdout=subprocess.PIPE, check=True, text=True).stdout.split() if names else []


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """reference.c, compiled: a function that runs it and gives its output."""
    library = BUILD / "libllama4.a"
    if not library.exists():
        pytest.skip(f"no {library}: build the repository")
    out = tmp_path_factory.mktemp("reference") / "reference"
    source = pathlib.Path(__file__).with_name("reference.c")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", f"-I{ROOT}/include", source, "-o", out, library, *decoders(), "-lm", "-lpthread"], check=True)
    return lambda *arguments: subprocess.run([out, *map(str, arguments)], stdout=subprocess.PIPE, check=True, timeout=120).stdout


def run_python(code, *arguments, timeout=60, **more):
    """A fresh interpreter, for what happens at its end. Its output and how it ended."""
    import sys

    return subprocess.run([sys.executable, "-X", "dev", "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=timeout, **more)
