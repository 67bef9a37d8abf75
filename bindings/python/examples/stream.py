"""The answer as it comes, chunk by chunk.

    python stream.py MODEL.gguf "What is 11 + 3?"
"""
from __future__ import annotations

import sys

from llama4 import Llama


def main(path: str, question: str) -> None:
    llm = Llama(model_path=path, n_ctx=2048, n_gpu_layers=-1, verbose=False)
    stream = llm.create_chat_completion(messages=[{"role": "user", "content": question}], temperature=0.0, stream=True)
    for chunk in stream:
        delta = chunk["choices"][0]["delta"]
        if "content" in delta:
            print(delta["content"], end="", flush=True)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:3])
