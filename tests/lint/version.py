#!/usr/bin/env python3
"""Print the version that include/llama4/version.h declares."""
import pathlib
import re

header = pathlib.Path(__file__).resolve().parents[2] / "include/llama4/version.h"
numbers = dict(re.findall(r"#define LLAMA4_VERSION_(\w+) (\d+)", header.read_text()))
print(".".join(numbers[part] for part in ("MAJOR", "MINOR", "PATCH")))
