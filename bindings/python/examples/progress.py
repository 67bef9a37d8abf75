"""A bar while a model is opened and a long prompt is read; tqdm if it is there.

    python progress.py MODEL.gguf
"""
from __future__ import annotations

import sys
from types import TracebackType
from typing import Optional, Type

import llama4


class Bar:
    """What tqdm does, in its smallest form."""

    n = 0.0

    def __init__(self, total: float, desc: str) -> None:
        self.desc = desc

    def update(self, step: float) -> None:
        self.n += step
        print(f"\r{self.desc} {self.n:4.0%}", end="", file=sys.stderr)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException], where: Optional[TracebackType]) -> None:
        print(file=sys.stderr)


try:
    from tqdm import tqdm as make_bar  # type: ignore[import-untyped,import-not-found,unused-ignore]
except ImportError:
    make_bar = Bar


def main(path: str) -> None:
    with make_bar(total=1.0, desc="opening") as opening:
        model = llama4.Model.open(path, progress=lambda fraction: opening.update(fraction - opening.n))
    with make_bar(total=1.0, desc="reading") as reading:
        context = model.context(progress=lambda fraction: reading.update(fraction - reading.n))
        context.decode(model.tokenize("All work and no play makes Jack a dull boy. " * 40, bos=True))
    print(context.sequence_length(), "tokens read")


if __name__ == "__main__":
    main(sys.argv[1])
