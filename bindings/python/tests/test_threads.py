"""The interpreter's lock is released while the library works."""
import ctypes
import threading
import time

import pytest
from conftest import TINY

import llama4
from llama4 import _context, _ffi, _native

ROUNDS, TOKENS = 6, 500


def overlaps(model):
    """Two threads with a context each decode at the same time, again and again, while a third one notes when it gets to run. In how
    many rounds did the calls overlap for more than a third of the shorter one, with the third thread at work all the while? That is
    impossible while a call keeps the interpreter's lock: who waits for it overlaps, but the third thread runs between calls only."""
    spans, ticks = [[], []], []
    start = threading.Barrier(2)

    def work(mine):
        with model.context(threads=1, sequences=1) as context:
            context.decode([1] * 2)
            for _ in range(ROUNDS):
                context.truncate()
                start.wait(60)
                began = time.perf_counter()
                context.decode([1] * TOKENS)
                mine.append((began, time.perf_counter()))

    threads = [threading.Thread(target=work, args=(s,)) for s in spans]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ticks.append(time.perf_counter())
        time.sleep(0.001)
    good = 0
    for a, b in zip(*spans):
        began, end = max(a[0], b[0]), min(a[1], b[1])
        good += end - began > min(a[1] - a[0], b[1] - b[0]) / 3 and sum(began < tick < end for tick in ticks) >= 8
    return good


def test_two_contexts_at_once(tiny):
    assert overlaps(tiny) >= ROUNDS * 2 / 3


def test_that_the_test_above_can_fail(tiny, monkeypatch):
    """The same through PyDLL, which keeps the lock."""
    locked = _ffi.prepare(ctypes.PyDLL(_native.library._name))
    monkeypatch.setattr(_context, "_native_decode", locked.llama4_context_decode)
    assert overlaps(tiny) < ROUNDS * 2 / 3


def test_one_context_serves_threads_in_turn(tiny):
    """Not at once, but nothing breaks."""
    errors = []
    with tiny.context() as context:
        context.decode([1, 2])

        def work(sequence):
            try:
                for i in range(30):
                    context.decode([i, i + 1] if i % 3 else i, sequence=sequence)
                    context.info
                assert context.sequence_length(sequence) == 50
            except BaseException as e:
                errors.append(e)

        threads = [threading.Thread(target=work, args=(s,)) for s in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert errors == []


def test_one_model_many_threads(tiny):
    want = tiny.chat("What is 20 + 4?", seed=5).text()
    found = []
    threads = [threading.Thread(target=lambda: found.append(tiny.chat("What is 20 + 4?", seed=5).text())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [want] * 6 and len(tiny._idle) <= 2


def test_a_detokenizer_and_a_sampler_shared_by_threads(tiny):
    detokenizer, sampler = tiny.vocab.detokenizer(), llama4.Sampler(tiny, 1).temperature(1.0)
    errors = []

    def work():
        try:
            for i in range(500):
                detokenizer.push(i)
                sampler.sample([1.0, 2.0, 3.0])
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_closing_while_another_thread_decodes():
    context = llama4.Model.open(TINY).context()
    ended = []

    def work():
        context.decode([1] * 2000)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    context.close()
    with pytest.raises(llama4.StateError):
        context.decode(1)
    thread.join(60)
    assert ended == [True]
