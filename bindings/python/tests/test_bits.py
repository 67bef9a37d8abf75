"""The same bits as in C."""
import json

import numpy as np
import pytest
from conftest import GOLDEN, ROOT, TINY

import llama4

MODELS = {"scout": GOLDEN / "scout/model", "maverick": GOLDEN / "maverick/model", "dense": GOLDEN / "dense/model", "tiny": TINY}


def prompts(name):
    if name == "tiny":
        cases = json.loads((ROOT / "tests/data/llama4-tiny/reference.json").read_text())["cases"]
        return [c["prompt_ids"] for c in cases[::40]]
    return [c["ids"] for c in json.loads((GOLDEN / name / "cases.json").read_text())]


def from_c(reference, path, ids):
    return np.frombuffer(reference("logits", path, *ids), np.uint32).reshape(len(ids), -1)


def bits(context, count):
    return np.stack([context.logits(i).view(np.uint32) for i in range(count)])


@pytest.mark.parametrize("name", MODELS)
def test_golden_cases(name, reference):
    with llama4.Model.open(MODELS[name]) as model:
        for ids in prompts(name):
            want = from_c(reference, MODELS[name], ids)
            with model.context() as context:
                context.decode(ids, logits="all")
                assert np.array_equal(bits(context, len(ids)), want)


def test_token_by_token_and_in_a_batch_with_others(reference):
    ids, path = prompts("scout")[0], MODELS["scout"]
    want = from_c(reference, path, ids)
    with llama4.Model.open(path) as model, model.context(threads=3, batch_size=7) as context:
        for i, token in enumerate(ids):
            context.decode(token)
            assert np.array_equal(context.logits().view(np.uint32), want[i])
        mixed = [(t, s, -1, True) for t in ids for s in (1, 2)]
        context.decode_batch(mixed)
        found = bits(context, len(mixed))
        assert np.array_equal(found[0::2], want) and np.array_equal(found[1::2], want)
        items = np.zeros(len(ids), llama4.BATCH_ITEM)
        items["token"], items["sequence"], items["position"], items["logits"] = ids, 3, np.arange(len(ids)), 1
        context.decode_batch(np.repeat(items, 2)[::2])
        assert np.array_equal(bits(context, len(ids)), want)


def test_long_golden_file():
    """Meta's modules over 8452 positions, past the end of a chunk."""
    folder = GOLDEN / "gguf"
    about = json.loads((folder / "manifest.json").read_text())["scout_long"]
    tokens = np.fromfile(folder / "scout_long.tokens.i32", np.int32)
    want = np.fromfile(folder / "scout_long.logits.f32", np.float32).reshape(about["rows"], about["vocab"])
    with llama4.Model.open(folder / "scout_long.gguf") as model, model.context(kv_type="f32") as context:
        keep = np.zeros(tokens.size, bool)
        keep[about["positions"]] = True
        context.decode(tokens, logits=keep)
        found = np.stack([context.logits(p) for p in about["positions"]])
    assert np.abs(found - want).max() < 1e-4


@pytest.mark.parametrize("seed, options", [(1, (0.6, 0, 0.9, 0.0)), (2, (1.3, 40, 1.0, 0.02)), (3, (0.0, 0, 1.0, 0.0))])
def test_sampled_ids(seed, options, reference, tiny):
    temperature, top_k, top_p, min_p = options
    prompt = tiny.tokenize("The return value of a", bos=True)
    want = list(map(int, reference("generate", TINY, seed, temperature, top_k, top_p, min_p, 60, *prompt).split()))
    sampler = llama4.Sampler(tiny, seed).temperature(temperature).top_k(top_k).top_p(top_p).min_p(min_p)
    with tiny.context() as context:
        generation = context.generate(prompt, max_tokens=60, sampler=sampler)
        assert [t.id for t in generation] == want == generation.ids
    assert len(want) > 10
