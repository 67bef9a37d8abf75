"""The loop itself: the five most likely next tokens at every step, and how sure the model was of a text.

    python logits.py MODEL.gguf "The capital of France is"
"""
from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

import llama4


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    x = logits.astype(np.float64)
    x -= x.max()
    result: NDArray[np.float64] = x - np.log(np.exp(x).sum())
    return result


def main(path: str, text: str) -> None:
    with llama4.Model.open(path) as model, model.context(sequences=1) as context:
        tokens = model.tokenize(text, bos=True)
        context.decode(tokens, logits="all")
        chances = [log_softmax(context.logits(i))[token] for i, token in enumerate(tokens[1:])]
        print(f"perplexity {np.exp(-np.mean(chances)):.2f} over {len(chances)} tokens")
        for _ in range(8):
            logits = log_softmax(context.logits())
            best = np.argsort(-logits, kind="stable")[:5]
            print("  ".join(f"{model.detokenize([int(i)], special=True)!r} {np.exp(logits[i]):.2f}" for i in best))
            if model.vocab.is_stop(int(best[0])):
                break
            context.decode(int(best[0]))


if __name__ == "__main__":
    main(*sys.argv[1:3])
