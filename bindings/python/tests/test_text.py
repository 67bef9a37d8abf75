"""The same text and ids as the llama4 program gives."""
import json
import subprocess

import pytest
from conftest import ANSWER, QUESTION, ROOT, TINY, TOOLS_SYSTEM

import llama4

TEXTS = ["", "Grüße, 世界! 👩‍👩‍👧‍👦 नमस्ते", "a\0b\n\n\n  x\t", "<|eot|> is text", "🦙" * 50]


def ask(program, *arguments):
    done = subprocess.run([program, "run", TINY, "--json", *map(str, arguments)], stdout=subprocess.PIPE, check=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("options", [{}, {"seed": 7}, {"seed": 12345678901234567890, "temperature": 1.5}, {"seed": 5, "top_k": 20, "top_p": 1.0},
                                     {"seed": 5, "min_p": 0.05, "temperature": 2.0}, {"temperature": 0.0}])
def test_chat(program, tiny, options):
    names = {"temperature": "--temp", "top_k": "--top-k", "top_p": "--top-p", "min_p": "--min-p", "seed": "--seed"}
    flags = [part for name, value in options.items() for part in (names[name], value)]
    for question in (QUESTION, "Tell me about the with statement."):
        want = ask(program, "-p", question, "-n", 40, *flags)
        answer = tiny.chat(question, max_tokens=40, **options)
        assert (answer.text(), answer.generation.ids) == (want["text"], want["ids"])
        assert answer.generation.prompt == want["prompt_ids"]
        assert answer.stopped == {"stop token": "stop", "limit": "length"}[want["stopped"]]


def test_raw_text(program, tiny):
    want = ask(program, "--raw", "-p", "Structure of a", "-n", 30, "--temp", 0)
    with tiny.context() as context:
        tokens = list(context.generate("Structure of a", max_tokens=30))
    assert [t.id for t in tokens] == want["ids"]
    assert "".join(t.text for t in tokens) == want["text"]


def test_reference_answers(tiny):
    """What the model's reference implementation answers; test_images.py has the pictures."""
    cases = json.loads((ROOT / "tests/data/llama4-tiny/reference.json").read_text())["cases"]
    for case in [c for c in cases if "image" not in c][::16]:
        with tiny.context(sequences=1) as context:
            generation = context.generate(case["prompt_ids"], max_tokens=len(case["greedy_ids"]))
            text = "".join(token.text for token in generation)
        assert generation.ids == case["greedy_ids"] and text == case["text"]


@pytest.mark.parametrize("text", TEXTS)
def test_tokenize(program, tiny, text):
    ids = tiny.tokenize(text)
    assert tiny.detokenize(ids) == text
    assert tiny.tokenize(text.encode()) == ids
    assert not any(tiny.vocab.is_special(i) for i in ids)
    if "\0" not in text:
        done = subprocess.run([program, "tokenize", TINY, text or " "], stdout=subprocess.PIPE, check=True)
        assert list(map(int, done.stdout.split())) == tiny.tokenize(text or " ")


def test_special_tokens(tiny):
    eot = tiny.vocab.find("<|eot|>")
    bos = tiny.vocab.find("<|begin_of_text|>")
    assert tiny.tokenize("a<|eot|>", special=True)[-1] == eot != tiny.tokenize("a<|eot|>")[-1]
    assert tiny.tokenize("a", bos=True)[0] == bos
    assert tiny.vocab.is_stop(eot) and tiny.vocab.is_special(bos) and not tiny.vocab.is_stop(bos)
    assert tiny.detokenize([bos, eot]) == "" and tiny.detokenize([eot], special=True) == "<|eot|>"
    assert tiny.vocab.token_bytes(eot) == b"<|eot|>" and tiny.vocab.find("no such token at all") is None
    assert tiny.vocab.find(b"a") == tiny.tokenize("a")[0] and len(tiny.vocab) == tiny.info.vocab_size


@pytest.mark.parametrize("text", TEXTS)
def test_streaming_never_splits_a_character(tiny, text):
    detokenizer = tiny.vocab.detokenizer()
    pieces = [detokenizer.push(token) for token in tiny.tokenize(text)]
    assert "".join(pieces) + detokenizer.finish() == text
    assert "\ufffd" not in "".join(pieces)


def test_streaming_of_incomplete_text(tiny):
    first = tiny.tokenize("🦙")[0]
    assert len(tiny.tokenize("🦙")) > 1
    detokenizer = llama4.Detokenizer(tiny.vocab)
    assert detokenizer.push(first) == "" and detokenizer.finish() == "\ufffd"
    assert "".join(map(detokenizer.push, tiny.tokenize("🦙"))) == "🦙"
    assert tiny.detokenize([first]) == "\ufffd" and tiny.vocab.detokenize_bytes([first]) == "🦙".encode()[:len(tiny.vocab.token_bytes(first))]


def test_unicode_streams_through_generate(tiny):
    """A chooser that always says the next token of a given text: every piece is whole characters, the last included."""
    from llama4._generation import Generation

    text = "Grüße 🦙 世界 👩‍👩‍👧"
    ids = tiny.tokenize(text)
    for cut in (len(ids), len(ids) - 1):
        with tiny.context() as context:
            generation = Generation(context, [1], choose=lambda c, before: ids[len(before)], max_tokens=cut)
            joined = "".join(token.text for token in generation)
        assert joined == tiny.detokenize(ids[:cut])


def test_conversation_with_tools(tiny):
    """Question, call, result, answer; the ids of the whole are what C makes of it."""
    messages = [{"role": "system", "content": TOOLS_SYSTEM}, {"role": "user", "content": "Tell me the time in Gus."}]
    answer = tiny.chat(messages, temperature=0)
    calls = answer.tool_calls()
    assert calls == [llama4.ToolCall("get_time", {"city": "Gus"})]
    messages += [{"role": "assistant", "content": None, "tool_calls": [calls[0].as_message()]},
                 {"role": "tool", "content": '{"time": "10:15"}', "tool_call_id": "call_0"}]
    ids = tiny.vocab.chat_tokenize(messages)
    text = tiny.detokenize(ids, special=True)
    assert text == ("<|begin_of_text|><|header_start|>system<|header_end|>\n\n" + TOOLS_SYSTEM + "<|eot|>"
                    "<|header_start|>user<|header_end|>\n\nTell me the time in Gus.<|eot|>"
                    '<|header_start|>assistant<|header_end|>\n\n{"type": "function", "name": "get_time", "parameters": {"city": "Gus"}}<|eom|>'
                    '<|header_start|>ipython<|header_end|>\n\n{"time": "10:15"}<|eom|><|header_start|>assistant<|header_end|>\n\n')
    again = tiny.chat(messages, temperature=0, max_tokens=20)
    again.text()
    assert again.generation.prompt == ids and again.generation.reused_tokens > 40


def test_offered_tools(tiny):
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}
             for name in ("get_weather", "get_time")]
    assert llama4.tools_prompt(tools) == TOOLS_SYSTEM
    assert tiny.chat("Is it raining in Tokyo?", tools=tools, temperature=0).tool_calls() == [llama4.ToolCall("get_weather", {"city": "Tokyo"})]
    assert tiny.chat(QUESTION, temperature=0).tool_calls() == []
    tools[0]["function"]["description"] = "What the weather is like"
    assert '"description": "What the weather is like"' in llama4.tools_prompt(tools)


@pytest.mark.parametrize("text, want", [
    ('[get_weather(city="San Francisco"), a.b(n=-1, l=[1, {"x": None}])]', [("get_weather", {"city": "San Francisco"}), ("a.b", {"n": -1, "l": [1, {"x": None}]})]),
    ('{"type": "function", "name": "f", "parameters": {}}', [("f", {})]),
    ('{"name": "f", "parameters": {"a": 1}}; {"name": "g", "arguments": "{}"}', [("f", {"a": 1}), ("g", {})]),
    ('[{"function": {"name": "f", "arguments": "{\\"x\\": 2}"}}]', [("f", {"x": 2})]),
    ('<function=f>{"x": 1}</function>', [("f", {"x": 1})]),
    ('<|python_start|>[f(x=1)]<|python_end|>', [("f", {"x": 1})]),
    ('[1, 2]', []), ('[f(1)]', []), ('[f(x=open("a"))]', []), ('[f(**{})]', []), ('{"name": 3}', []), ('{"name"', []), ("[" * 100000, []), ("", []),
    ('{"x": 1}', []), ("Text [f(x=1)]", [])])
def test_parse_tool_calls(text, want):
    assert [tuple(call) for call in llama4.parse_tool_calls(text)] == want


def test_messages(tiny):
    ids = tiny.vocab.chat_tokenize(QUESTION)
    assert ids == tiny.vocab.chat_tokenize([{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "11 + 3?"}]}])
    assert tiny.vocab.chat_tokenize(QUESTION, bos=False) == ids[1:]
    bare = tiny.vocab.chat_tokenize(QUESTION, header=False)
    assert ids[:len(bare)] == bare and tiny.vocab.is_stop(bare[-1])
    eom = tiny.vocab.chat_tokenize([{"role": "assistant", "content": "a", "end": "eom"}], header=False)
    assert eom[-1] == tiny.vocab.find("<|eom|>")
    nul = tiny.vocab.chat_tokenize([{"role": "user", "content": "a\0b"}])
    assert "a\0b" in tiny.detokenize(nul)
    assert tiny.vocab.find("<|eot|>") not in tiny.vocab.chat_tokenize([{"role": "user", "content": "<|eot|>"}], header=False)[:-1]


@pytest.mark.parametrize("message, error", [
    ({"role": "nobody", "content": "x"}, llama4.Error), ({"content": "x"}, llama4.ArgumentError), ({"role": "a\0", "content": ""}, llama4.ArgumentError),
    ({"role": "user", "content": 3}, TypeError), ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, llama4.UnsupportedError),
    ({"role": "user", "content": "x", "audio": {"id": 1}}, llama4.UnsupportedError), ({"role": "user", "content": "\ud800"}, UnicodeEncodeError),
    ({"role": "user", "content": b"\xff"}, llama4.Error), ({"role": "user", "content": "x", "end": "x"}, llama4.ArgumentError),
    ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "no object"}]}, llama4.ArgumentError)])
def test_bad_messages(tiny, message, error):
    with pytest.raises(error, match=None if error in (TypeError, UnicodeEncodeError) else "message 0"):
        tiny.vocab.chat_tokenize([message])


def test_answers_do_not_depend_on_what_came_before(tiny):
    with llama4.Model.open(TINY) as fresh:
        story = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "What is 20 + 4?"}]
        first = fresh.chat(story, seed=3)
        first.text()
        assert first.generation.reused_tokens == 0
    with llama4.Model.open(TINY) as model:
        assert model.chat(story[:1]).text() == ANSWER
        second = model.chat(story, seed=3)
        assert (second.text(), second.generation.ids) == (first.so_far, first.generation.ids)
        assert second.generation.reused_tokens > 15
        overlapping = [model.chat(story, seed=3), model.chat(story[:1]), model.chat(story, seed=3)]
        pieces = list(zip(*overlapping))
        assert len(pieces) > 4 and overlapping[0].so_far == overlapping[2].so_far
        half = model.chat(story, seed=3)
        next(half)
        half.close()
        assert half.stopped == "closed" and list(half) == [] and first.so_far.startswith(half.so_far)
        assert model.chat(story, seed=3).text() == first.so_far
