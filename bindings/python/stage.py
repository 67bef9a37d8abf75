#!/usr/bin/env python3
"""Bring the library's sources into subprojects/llama4, where meson can build them, and print their version.

Meson builds nothing that lies above the folder it was started in, and pip starts it here. In a source distribution the sources
are in place already. Only files that changed are written, and files that are gone are removed."""
import pathlib
import re
import shutil

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
STAGED = HERE / "subprojects" / "llama4"
WANTED = ("meson.build", "meson_options.txt", "LICENSE", "include/**/*", "lib/**/*", "pkgconfig/*", "tests/lint/version.py",
          "examples/meson.build", "examples/**/*.c", "examples/**/*.h", "examples/**/*.1")


def stage() -> None:
    wanted = {path.relative_to(REPOSITORY): path for pattern in WANTED for path in REPOSITORY.glob(pattern)
              if path.is_file() and "__pycache__" not in path.parts}
    for path in sorted(STAGED.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(STAGED) not in wanted:
            path.unlink()
    for name, path in wanted.items():
        copy = STAGED / name
        if not copy.is_file() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)


def version() -> str:
    text = (STAGED / "include/llama4/version.h").read_text()
    numbers = dict(re.findall(r"#define LLAMA4_VERSION_(\w+) (\d+)", text))
    return ".".join(numbers[part] for part in ("MAJOR", "MINOR", "PATCH"))


if (REPOSITORY / "include/llama4/llama4.h").is_file():
    stage()
print(version())
