"""A conversation at the terminal. Ctrl-C stops an answer, Ctrl-D ends.

    python repl.py MODEL.gguf
"""
from __future__ import annotations

import sys
from typing import Dict, List

import llama4


def main(path: str) -> None:
    messages: List[Dict[str, str]] = []
    with llama4.Model.open(path) as model:
        while True:
            try:
                messages.append({"role": "user", "content": input("> ")})
            except EOFError:
                print()
                return
            answer = model.chat(messages)
            try:
                for piece in answer:
                    print(piece, end="", flush=True)
            except KeyboardInterrupt:
                print(" (stopped)", end="")
            print()
            messages.append({"role": "assistant", "content": answer.so_far})


if __name__ == "__main__":
    main(sys.argv[1])
