"""Budgets of memory, experts that are read when they are needed, and plans."""
import os
import re

import numpy as np
import pytest
from conftest import ANSWER, GOLDEN, QUESTION, TINY, run_python

import llama4
from llama4 import _ffi

MAVERICK = GOLDEN / "maverick/model"
IDS = [1 + i * 37 % 500 for i in range(60)]
COUNTS = ("expert_bytes", "expert_count", "expert_slots", "requests", "hits", "read_ahead", "wasted", "bytes_read",
          "guesses", "guesses_right")


def bits(model, step=len(IDS)):
    rows = []
    with model.context(threads=2) as context:
        for i in range(0, len(IDS), step):
            part = IDS[i:i + step]
            context.decode(part, logits="all")
            rows += [context.logits(k).view(np.uint32).copy() for k in range(len(part))]
    return np.stack(rows)


@pytest.fixture(scope="module")
def want(tiny):
    return bits(tiny)


@pytest.fixture(scope="module")
def needed():
    """Bytes that a streamed llama4-tiny needs at least, as the library says."""
    with pytest.raises(llama4.OutOfMemoryError) as e:
        llama4.Model.open(TINY, memory=1000, stream=True)
    assert isinstance(e.value, MemoryError) and e.value.status == _ffi.LLAMA4_ERR_MEMORY
    return int(re.search(r"(\d+) are needed", e.value.message).group(1))


# ---- Experts that are read when they are needed ----


def from_path(**options):
    return llama4.Model.open(TINY, **options)


def from_memory(**options):
    return llama4.Model.open_memory(TINY.read_bytes(), **options)


def from_fd(**options):
    with open(TINY, "rb") as file:
        return llama4.Model.open_fd(file.fileno(), **options)


@pytest.mark.parametrize("start", [from_path, from_memory, from_fd])
def test_the_same_bits(start, want):
    with start(expert_slots=2) as model:
        for step in (1, 7, len(IDS)):
            assert np.array_equal(bits(model, step), want)
        memory = model.memory()
        assert memory.streaming is True and memory.expert_slots <= 2 < memory.expert_count == 32
        assert 0 <= memory.hits < memory.requests and memory.hit_rate == memory.hits / memory.requests
        assert memory.bytes_read > memory.resident_bytes and memory.read_seconds > 0 and memory.wait_seconds >= 0
        assert isinstance(memory.direct, bool)
        assert model.chat(QUESTION, temperature=0).text() == ANSWER
    with start(stream=True) as model:  # all that fit
        assert np.array_equal(bits(model), want) and np.array_equal(bits(model, 7), want)
        memory = model.memory()
        assert memory.streaming and 2 < memory.expert_slots <= memory.expert_count
        seen = memory.requests
        bits(model)
        assert model.memory().requests > seen == memory.requests  # a record of its moment


def test_in_memory(tiny):
    memory = tiny.memory()
    assert memory.streaming is False and memory.direct is False and memory.hit_rate is None
    assert memory.resident_bytes > 0 and all(getattr(memory, name) == 0 for name in COUNTS)
    assert set(vars(memory)) == {name for name, *_ in _ffi.llama4_memory_info._fields_} - {"struct_size", "reserved"}
    assert set(vars(memory)) == set(llama4.MemoryInfo.__annotations__)
    with pytest.raises(AttributeError, match="read only"):
        memory.hits = 1
    with pytest.raises(AttributeError, match="no field nonsense"):
        memory.nonsense
    assert "streaming=False" in repr(memory) and "limit_bytes" in repr(memory)


def test_budgets(needed, want):
    with pytest.raises(llama4.OutOfMemoryError, match=str(needed)):
        llama4.Model.open(TINY, memory=needed - 1, stream=True)
    with llama4.Model.open(TINY, memory=needed, stream=True) as model:
        assert np.array_equal(bits(model), want)
        memory = model.memory()
        assert memory.streaming and memory.limit_bytes == needed >= memory.used_bytes > memory.resident_bytes > 0
    with llama4.Model.open(TINY, memory=1 << 30) as model:  # all fits
        before = model.memory()
        assert not before.streaming and before.limit_bytes == 1 << 30
        with model.context() as context:
            context.decode([1, 2, 3])
            assert model.memory().used_bytes > before.used_bytes
        assert model.memory().used_bytes == before.used_bytes
    with llama4.Model.open(TINY, memory=None) as model, llama4.Model.open(TINY, memory=0) as same:
        assert model.memory().limit_bytes is None and repr(model.memory()) == repr(same.memory())


def test_llama_within_a_budget(needed):
    with pytest.raises(llama4.OutOfMemoryError):
        llama4.Llama(TINY, memory=1000, verbose=False)
    with llama4.Llama(TINY, memory=2 * needed, n_ctx=256, verbose=False) as llm:
        assert llm.model.memory().limit_bytes == 2 * needed
        out = llm.create_chat_completion([{"role": "user", "content": QUESTION}], temperature=0)
        assert out["choices"][0]["message"]["content"] == ANSWER


def test_options_out_of_range():
    for options, error in ((dict(memory=-1), "memory is -1"), (dict(memory=1 << 63), "memory"), (dict(expert_slots=1), "expert_slots is 1"),
                           (dict(expert_slots=-2), "expert_slots is -2"), (dict(expert_slots=1 << 32), "expert_slots")):
        with pytest.raises(llama4.ArgumentError, match=error):
            llama4.Model.open(TINY, **options)
        if "memory" in options:
            with pytest.raises(llama4.ArgumentError, match=error):
                llama4.plan(TINY, **options)
    for options in (dict(memory="8G"), dict(memory=1e9), dict(expert_slots="2")):
        with pytest.raises(TypeError, match="must be an integer"):
            llama4.Model.open(TINY, **options)
    with llama4.Model.open(GOLDEN / "dense/model", stream=True) as model:  # nothing to stream
        assert not model.memory().streaming


# ---- Which experts were in memory ----


def test_experts_to_a_file_and_back(tmp_path, want):
    path = tmp_path / "Gruß.experts"
    with llama4.Model.open(TINY, stream=True) as first, llama4.Model.open(TINY, stream=True) as second:
        bits(first)
        first.save_experts(path)
        second.load_experts(str(path))
        assert second.memory().expert_slots == first.memory().expert_slots > 2
        assert np.array_equal(bits(second, 1), want)
        assert second.memory().bytes_read <= first.memory().bytes_read  # which may have read ahead in vain
        with pytest.raises(FileNotFoundError, match="absent"):
            second.load_experts(tmp_path / "absent")
        with pytest.raises(FileNotFoundError, match="absent"):
            second.save_experts(tmp_path / "absent/x")
        with pytest.raises(llama4.FileError) as e:
            second.save_experts(tmp_path)
        assert not isinstance(e.value, FileNotFoundError)
        for bad in ("", "a\0b"):
            with pytest.raises(llama4.ArgumentError):
                second.save_experts(bad)
            with pytest.raises(llama4.ArgumentError):
                second.load_experts(bad)
        with llama4.Model.open(MAVERICK, stream=True) as other, pytest.raises(llama4.FormatError, match="another shape"):
            other.load_experts(path)
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        with pytest.raises(llama4.FormatError, match="Gruß.experts"):
            second.load_experts(path)
    assert [p.name for p in tmp_path.iterdir()] == ["Gruß.experts"]


def test_nothing_to_save(tiny, tmp_path):
    for call in (tiny.save_experts, tiny.load_experts):
        with pytest.raises(llama4.StateError, match="does not stream"):
            call(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    model = llama4.Model.open(TINY, expert_slots=2)
    model.close()
    for closed in (model.memory, lambda: model.save_experts("x"), lambda: model.load_experts("x")):
        with pytest.raises(llama4.StateError, match="this Model is closed"):
            closed()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child():
    """The threads that read experts do not come along: a child must not wait for them for ever."""
    code = """if True:
        import os, sys, llama4
        model = llama4.Model.open(sys.argv[1], expert_slots=2)
        model.context().decode([1, 2])
        pid = os.fork()
        if pid == 0:
            refused = 0
            for call in (model.context, model.memory, lambda: model.save_experts("x"), lambda: model.load_experts("x"), lambda: model.chat("x")):
                try:
                    call()
                except llama4.StateError as e:
                    refused += "forked" in str(e)
            own = llama4.Model.open(sys.argv[1], expert_slots=2)
            os._exit(refused if own.chat("What is 11 + 3?", temperature=0).text() == "11 + 3 = 14." else 1)
        _, status = os.waitpid(pid, 0)
        model.context().decode([1, 2])
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    done = run_python(code, TINY)
    assert done.returncode == 5, done.stderr.decode()


# ---- Routing ----


def test_expert_counts():
    with llama4.Model.open(MAVERICK) as model, model.context() as context:
        info, mixtures = model.info, 0
        assert not any(context.expert_counts(layer).any() for layer in range(info.layers))
        context.decode(IDS[:50])
        context.decode(IDS[50:], sequence=1)
        for layer in range(info.layers):
            counts = context.expert_counts(layer)
            assert counts.dtype == np.uint64 and counts.shape == (info.experts,)
            assert counts.sum() in (0, len(IDS) * info.experts_used)
            mixtures += bool(counts.any())
        assert mixtures == info.moe_layers > 0
        before = context.expert_counts(info.layers - 1)
        context.decode(1)
        assert (context.expert_counts(info.layers - 1) - before).sum() == info.experts_used  # not a view
        for layer in (-1, info.layers, 1 << 40):
            with pytest.raises(llama4.ArgumentError, match="layer"):
                context.expert_counts(layer)
        with pytest.raises(TypeError):
            context.expert_counts("0")
    with pytest.raises(llama4.StateError, match="closed"):
        context.expert_counts(0)
    with llama4.Model.open(GOLDEN / "dense/model") as model, model.context() as context:
        context.decode(IDS[:3])
        assert context.expert_counts(0).shape == (0,)


# ---- Plans ----


def test_a_plan_is_what_happens(tiny):
    plan = llama4.plan(TINY)
    assert plan.fits is True and plan.streamed is False and plan.guessed_shape is False and plan.missing_files == 0
    assert plan.parameters == tiny.info.parameters and plan.active_parameters == tiny.info.active_parameters
    assert plan.experts == tiny.info.experts * tiny.info.moe_layers == plan.cached_experts and plan.estimated_bytes == 0
    assert plan.type == "Q8_0" and plan.name == tiny.info.name
    assert plan.least_bytes < plan.whole_bytes <= plan.memory_bytes
    assert all(getattr(plan, name) is None for name in vars(plan) if name.endswith("_rate"))
    assert set(vars(plan)) == {name for name, *_ in _ffi.llama4_plan_result._fields_} - {"struct_size"} | {"streamed"}
    assert set(vars(plan)) == set(llama4.Plan.__annotations__)
    within = llama4.plan(os.fspath(TINY), memory=plan.least_bytes)
    assert within.fits is True and within.streamed is True and within.cached_experts == 2 and within.memory_bytes == plan.least_bytes
    below = llama4.plan(TINY, memory=plan.least_bytes - 1)
    assert below.fits is False and below.streamed is False and below.cached_experts == below.pool_bytes == 0
    with llama4.Model.open(TINY, memory=plan.least_bytes, stream=True) as model:
        memory = model.memory()
        assert (memory.expert_bytes, memory.expert_count, memory.limit_bytes) == (plan.expert_bytes, plan.experts, plan.least_bytes)


def test_what_a_plan_is_for():
    half, full = (llama4.plan(TINY, kv_type=kind, context_length=1000).kv_bytes for kind in ("f16", "f32"))
    assert 1.9 * half < full <= 2 * half
    assert llama4.plan(TINY, context_length=2000).context_length == 2000
    assert llama4.plan(TINY, batch_size=4096).scratch_bytes > llama4.plan(TINY, threads=2).scratch_bytes
    scout = llama4.plan(shape="scout", memory=1 << 50)
    assert (scout.parameters, scout.experts, scout.type, scout.guessed_shape) == (107769861120, 768, "Q4_0", False)
    assert scout.estimated_bytes == scout.weight_bytes == 60635770880
    assert llama4.plan(shape="scout", type="q8_0").weight_bytes > 1.7 * scout.weight_bytes
    assert llama4.plan(shape="behemoth").guessed_shape is True
    assert llama4.plan(MAVERICK).experts > 0


def test_rates():
    rates = dict(memory_rate=20e9, compute_rate=1e12, disk_rate=2e9)
    plan = llama4.plan(shape="scout", memory=24 << 30, **rates)
    assert plan.streamed and {name: getattr(plan, name) for name in rates} == rates
    assert 0 < plan.full_decode_rate < plan.decode_rate < llama4.plan(shape="scout", memory=48 << 30, **rates).decode_rate
    assert plan.prefill_rate > plan.decode_rate
    without = llama4.plan(shape="scout", memory=24 << 30, memory_rate=20e9)
    assert without.decode_rate is None is without.disk_rate and without.memory_rate == 20e9
    measured = llama4.plan(TINY, measure=True, threads=1)
    assert measured.memory_rate > 0 and measured.compute_rate > 0 and measured.decode_rate > 0 and measured.prefill_rate > 0


def test_plans_that_go_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.gguf"):
        llama4.plan(tmp_path / "absent.gguf")
    (tmp_path / "bad.gguf").write_bytes(TINY.read_bytes()[:5000])
    with pytest.raises(llama4.FormatError, match="bad.gguf"):
        llama4.plan(tmp_path / "bad.gguf")
    nan = float("nan")
    for arguments, options, match in (
            ((), {}, "path"), ((TINY,), dict(shape="scout"), "both"), ((), dict(shape="gigantic"), "gigantic"), ((), dict(shape="a\0"), "NUL"),
            ((), dict(shape="scout", type="q9"), "q9"), ((TINY,), dict(kv_type="f8"), "f8"), ((TINY,), dict(context_length=-1), "context_length"),
            ((TINY,), dict(context_length=1 << 25), "context_length"), ((TINY,), dict(batch_size=8193), "batch_size"),
            ((TINY,), dict(threads=65), "threads"), ((TINY,), dict(memory_rate=-1.0), "rate"), ((TINY,), dict(disk_rate=nan), "rate")):
        with pytest.raises(llama4.ArgumentError, match=match):
            llama4.plan(*arguments, **options)
    for options in (dict(memory=1e9), dict(threads="2"), dict(memory_rate="fast")):
        with pytest.raises(TypeError):
            llama4.plan(TINY, **options)
