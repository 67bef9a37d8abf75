"""Decoding, logits, sequences, cancelling."""
import threading
import time

import numpy as np
import pytest
from conftest import GOLDEN, TINY

import llama4
from llama4 import _ffi

LONG = 12000  # tokens that take seconds


def long_prompt(model, n=LONG):
    ids = model.tokenize("The quick brown fox jumps over the lazy dog. ")
    return (ids * (n // len(ids) + 1))[:n]


def test_which_logits(context):
    context.decode([1, 2, 3])
    last = context.logits().copy()
    assert last.shape == (2048,) and last.dtype == np.float32 and np.isfinite(last).all()
    with pytest.raises(llama4.ArgumentError, match="item 0 did not ask"):
        context.logits(0)
    for item in (3, -4, 1 << 40):
        with pytest.raises(llama4.ArgumentError):
            context.logits(item)
    context.truncate()
    context.decode(np.array([1, 2, 3], np.uint16), logits=[True, False, True])
    assert np.array_equal(context.logits(2), last) and np.array_equal(context.logits(-1), last)
    first = context.logits(0).copy()
    context.truncate()
    context.decode(iter([1, 2, 3]), logits="all")
    assert np.array_equal(context.logits(0), first) and np.array_equal(context.logits(2), last)
    context.decode([4], logits="none")
    with pytest.raises(llama4.ArgumentError):
        context.logits()
    context.truncate(0)
    context.decode(1)
    context.decode(np.int64(2))
    context.decode(3)
    assert np.array_equal(context.logits(), last) and context.sequence_length() == 3


@pytest.mark.parametrize("tokens, error", [
    ([], llama4.ArgumentError), ([-1], llama4.ArgumentError), ([2048], llama4.ArgumentError), ([1 << 40], llama4.ArgumentError), (-1, llama4.ArgumentError),
    (1 << 40, llama4.ArgumentError), (2048, llama4.ArgumentError), ([1.5], TypeError), ([[1]], TypeError), (["a"], TypeError), (None, TypeError)])
def test_bad_tokens(context, tokens, error):
    context.decode([1, 2])
    for _ in range(2):
        with pytest.raises(error):
            context.decode(tokens)
        assert context.sequence_length() == 2


def test_bad_arguments(tiny, context):
    for call in (lambda: context.decode([1], sequence=64), lambda: context.decode(1, sequence=-1), lambda: context.decode(1, sequence=1 << 33),
                 lambda: context.decode([1], logits="some"), lambda: context.decode_batch([]), lambda: context.decode_batch([(1, 0, 7, True)]),
                 lambda: context.sequence_length(64), lambda: context.truncate(5), lambda: context.truncate(-1), lambda: context.fork(0, 64),
                 lambda: tiny.context(kv_type="q8"), lambda: tiny.context(threads=-1), lambda: tiny.context(batch_size=1 << 33),
                 lambda: tiny.context(context_length=-5), lambda: context.generate([]), lambda: context.generate([1], max_tokens=-1),
                 lambda: context.generate([1 << 50])):
        with pytest.raises(llama4.ArgumentError):
            call()
    with pytest.raises(TypeError):
        tiny.context(nonsense=1)
    with pytest.raises(ValueError):
        context.decode([1, 2], logits=[True] * 3)


def test_info(tiny):
    with tiny.context(context_length=100, threads=3, batch_size=17, sequences=5, kv_type="f32") as context:
        info = context.info
        assert (info.context_length, info.threads, info.batch_size, info.sequences, info.kv_type) == (100, 3, 17, 5, _ffi.LLAMA4_KV_F32)
        assert context.model == tiny and context.model is not tiny and not (tiny == 3)
    with llama4.Model.open(TINY, threads=1, context_length=33) as model:
        assert (model.context().info.threads, model.context(context_length=5).info.context_length) == (1, 5)
        assert model.context().info.context_length == 33


def test_full_context(tiny):
    with tiny.context(context_length=4, sequences=1) as context:
        context.decode([1, 2, 3])
        with pytest.raises(llama4.ContextFullError) as e:
            context.decode([1, 2])
        assert isinstance(e.value, ValueError) and context.sequence_length() == 3
        with pytest.raises(llama4.ContextFullError):
            next(context.generate([1, 2]))
        generation = context.generate([1])
        assert len(list(generation)) == 1 and generation.stopped == "context"


def test_sequences(context):
    context.decode([1, 2, 3])
    context.fork(0, 7)
    context.decode([4], sequence=7)
    want = context.logits().copy()
    assert (context.sequence_length(), context.sequence_length(7)) == (3, 4)
    context.decode([9])
    context.truncate(3)
    context.decode([4])
    assert np.array_equal(context.logits(), want)


def test_lengths_before_the_chunk():
    with llama4.Model.open(GOLDEN / "gguf/scout_long.gguf") as model, model.context() as context:
        context.decode([1] * 8200)
        with pytest.raises(llama4.StateError) as e:
            context.truncate(5)
        assert e.value.status == _ffi.LLAMA4_ERR_STATE and isinstance(e.value, RuntimeError)
        context.truncate(8195)
        context.truncate(0)


# ---- Views ----


def test_view_is_no_copy_and_read_only(context):
    context.decode([1])
    view, again = context.logits(), context.logits()
    assert np.shares_memory(view, again) and not view.flags.writeable and not view.flags.owndata
    with pytest.raises(ValueError):
        view[0] = 1
    with pytest.raises(ValueError):
        view.flags.writeable = True
    before = view.copy()
    context.decode([2])
    assert np.shares_memory(view, context.logits()) and np.array_equal(view, context.logits())
    assert not np.array_equal(view, before)


def test_memory_does_not_move_unless_more_rows_are_asked_for(context):
    """What the rule of logits() stands on, whatever else a decode asks for."""
    context.decode([1, 2, 3], logits="all")
    address = context.logits(0).ctypes.data
    context.decode([1] * 700)
    assert context.logits().ctypes.data == address
    context.decode_batch([(1, s, -1, s in (3, 5)) for s in range(30)])
    assert context.logits(3).ctypes.data == address
    context.truncate()
    context.decode([1, 2, 3], logits="all")
    assert context.logits(0).ctypes.data == address


def test_more_rows_than_before_are_refused_while_a_view_lives(context):
    context.decode([1, 2])
    part = context.logits()[5:10]
    with pytest.raises(BufferError, match="view of the logits"):
        context.decode([1, 2], logits="all")
    with pytest.raises(BufferError):
        context.decode_batch([(1, 0, -1, True), (1, 1, -1, True)])
    assert context.sequence_length() == 2
    context.decode([3] * 50)
    copy = part.copy()
    del part
    context.decode([1, 2], logits="all")
    assert copy.size == 5 and context.sequence_length() == 54


def test_view_outlives_everything():
    model = llama4.Model.open(TINY)
    context = model.context()
    context.decode([1, 2, 3])
    view = context.logits()
    want = view.copy()
    context.close()
    model.close()
    del context, model
    others = [llama4.Model.open(TINY).context() for _ in range(3)]
    for other in others:
        other.decode([5] * 100)
    assert np.array_equal(view, want)
    part = view[1000:]
    del view
    assert np.array_equal(part, want[1000:])


# ---- Cancelling ----


def test_cancel_from_another_thread(tiny, context):
    ids = long_prompt(tiny)
    done = []

    def work():
        try:
            context.decode(ids)
        except llama4.CancelledError as e:
            done.append((e, time.perf_counter()))

    for _ in range(2):
        done.clear()
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.2)
        assert thread.is_alive()
        at = time.perf_counter()
        context.cancel()
        thread.join(20)
        assert len(done) == 1 and done[0][0].status == _ffi.LLAMA4_ERR_CANCELLED
        assert done[0][1] - at < 10  # an idle machine needs milliseconds
        assert context.sequence_length() == 0
    context.decode([1])


def test_cancel_while_the_main_thread_decodes(tiny, context):
    timer = threading.Timer(0.2, context.cancel)
    timer.start()
    with pytest.raises(llama4.CancelledError):
        context.decode(long_prompt(tiny))
    timer.join()
    assert context.sequence_length() == 0


def test_cancel_waits_for_the_next_call(context):
    context.decode([1])
    context.cancel()
    with pytest.raises(llama4.CancelledError):
        context.decode(2)
    context.decode(2)
    assert context.sequence_length() == 2


def test_cancelled_generation_goes_on(tiny, context):
    want = [t.id for t in context.generate("Structure", max_tokens=8)]
    context.truncate()
    generation = context.generate("Structure", max_tokens=8)
    found = [next(generation).id for _ in range(3)]
    context.cancel()
    with pytest.raises(llama4.CancelledError):
        next(generation)
    assert found + [t.id for t in generation] == want


def test_progress(tiny):
    fractions = []
    with tiny.context(progress=fractions.append, batch_size=512) as context:
        context.decode([1])
        assert fractions == []
        context.decode([1] * 1000)
        assert len(fractions) >= 16 and fractions == sorted(fractions) and 0 <= fractions[0] < fractions[-1] <= 1
    with tiny.context(progress=lambda f: f > 0.4) as context:
        with pytest.raises(llama4.CancelledError):
            context.decode([1] * 100)
        assert context.sequence_length() == 0
        context.decode([1])


def test_callbacks_cannot_call_their_context(tiny):
    caught = []

    def progress(fraction):
        for call in (lambda: context.decode([1]), context.logits, context.truncate, lambda: context.info):
            try:
                call()
            except llama4.StateError as e:
                caught.append(str(e))

    with tiny.context(progress=progress) as context:
        context.decode([1, 2])
        main = len(caught)
        thread = threading.Thread(target=lambda: context.decode([1, 2]))
        thread.start()
        thread.join(20)
    assert main >= 4 and len(caught) >= 2 * main and all("callback" in text for text in caught)


def test_exceptions_of_callbacks_arrive(tiny):
    class Mine(BaseException):
        pass

    def fail(fraction):
        raise Mine

    caught = []
    with tiny.context(progress=fail) as context:
        with pytest.raises(Mine):
            context.decode([1, 2])

        def work():
            try:
                context.decode([1, 2])
            except Mine as e:
                caught.append(e)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
        assert len(caught) == 1 and context.sequence_length() == 0
        context._reporter.function = None
        context.decode([1, 2])


def test_generation_state(tiny, context):
    generation = context.generate("Structure of a", max_tokens=5)
    tokens = list(generation)
    assert generation.stopped == "length" and len(tokens) == 5 and context.sequence_length() == generation.prompt_tokens + 4
    assert generation.prompt_seconds > 0 and generation.generate_seconds > 0
    more = context.generate([generation.ids[-1]], max_tokens=5)
    both = generation.ids + [t.id for t in more]
    context.truncate()
    assert [t.id for t in context.generate("Structure of a", max_tokens=10)] == both
    context.truncate()
    one, other = context.generate("Structure", max_tokens=9), context.generate("Structure", max_tokens=9)
    next(one)
    next(other)
    with pytest.raises(llama4.ArgumentError, match="position"):
        next(one)  # somebody else moved the sequence on
    context.truncate()
    with context.generate("Structure") as stopped:
        next(stopped)
    assert stopped.stopped == "closed" and list(stopped) == []
    ends = context.generate(tiny.vocab.chat_tokenize("What is 11 + 3?"), sequence=3)
    text = [t for t in ends]
    assert ends.stopped == "stop" and text[-1].text == "" and tiny.vocab.is_stop(text[-1].id)
    shown = list(context.generate(tiny.vocab.chat_tokenize("What is 11 + 3?"), sequence=4, special_text=True))
    assert shown[-1].text == "<|eot|>"
    on = list(context.generate(tiny.vocab.chat_tokenize("What is 11 + 3?"), sequence=5, ignore_stop=True, max_tokens=30))
    assert len(on) == 30


def test_failing_sampler_leaves_the_sequence_as_it_was(tiny, context):
    from llama4._generation import Generation

    def choose(c, ids):
        if len(ids) == wanted:
            raise KeyError("mine")
        return 5

    for wanted, length in ((0, 0), (3, 4)):
        context.truncate()
        generation = Generation(context, [1, 2], choose=choose)
        with pytest.raises(KeyError):
            list(generation)
        assert context.sequence_length() == length
        wanted = -1
        assert next(generation).id == 5
