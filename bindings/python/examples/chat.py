"""One question, one answer, in the way of the OpenAI interface.

    python chat.py MODEL.gguf "What is 11 + 3?"
"""
from __future__ import annotations

import sys

from llama4 import Llama


def main(path: str, question: str) -> None:
    llm = Llama(model_path=path, n_ctx=2048, verbose=False)
    response = llm.create_chat_completion(
        messages=[{"role": "user", "content": question}],
        temperature=0.0,
        max_tokens=200,
    )
    print(response["choices"][0]["message"]["content"])
    usage = response["usage"]
    print(f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:3])
