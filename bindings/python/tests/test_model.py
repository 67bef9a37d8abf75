"""Opening, describing, converting; errors."""
import gc
import mmap
import os
import pickle

import numpy as np
import pytest
from conftest import ANSWER, GOLDEN, QUESTION, TINY

import llama4
from llama4 import _ffi


def answer(model):
    return model.chat(QUESTION, temperature=0).text()


def test_ways_to_open(tmp_path):
    data = bytearray(TINY.read_bytes())
    with llama4.Model.open_memory(data) as model:
        with pytest.raises(BufferError):
            data.append(0)  # the model holds the buffer
        assert answer(model) == ANSWER
    with open(TINY, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        model = llama4.Model.open_fd(file.fileno())
        assert answer(model) == ANSWER
        model = llama4.Model.open_memory(mapped)
        assert answer(model) == ANSWER
        model.close()
        del model
        gc.collect()
    os.symlink(TINY, tmp_path / "Gruß 🦙.gguf")
    assert answer(llama4.Model.open(str(tmp_path / "Gruß 🦙.gguf"))) == ANSWER
    assert answer(llama4.Model.open(tmp_path / "Gruß 🦙.gguf", cpu_level=1)) == ANSWER


def test_info(tiny):
    assert (tiny.info.layers, tiny.info.vocab_size, tiny.info.type, tiny.info.format) == (8, 2048, "Q8_0", "GGUF v3")
    tensors = tiny.tensors()
    assert len(tensors) == tiny.info.tensors and sum(t.bytes for t in tensors) == tiny.info.tensor_bytes
    assert any(t.name == "token_embd.weight" and t.dims == (256, 2048, 1, 1) for t in tensors)
    assert "reserved" not in repr(tiny.info) and "layers=8" in repr(tiny.info)
    with pytest.raises(AttributeError, match="no field nonsense; there are layers"):
        tiny.info.nonsense
    with pytest.raises(AttributeError):
        tiny.info.layers = 1
    with llama4.Model.open(TINY, header_only=True) as header:
        assert repr(header.info) == repr(tiny.info)
        with pytest.raises(llama4.Error) as e:
            header.tokenize("a")
        assert e.value.status == _ffi.LLAMA4_ERR_NO_VOCABULARY
        with pytest.raises(llama4.StateError):
            header.context()


def test_every_field_of_info_is_there(tiny):
    names = {name for name, *_ in _ffi.llama4_model_info._fields_}
    assert set(vars(tiny.info)) == names - {"struct_size", "reserved"}


def test_vocabularies(tiny, tmp_path):
    with llama4.Vocab.open(GOLDEN / "scout/model") as vocab:
        ids = vocab.tokenize("hello")
        assert vocab.detokenize(ids) == "hello"
    with pytest.raises(llama4.StateError, match="this Vocab is closed"):
        vocab.tokenize("a")
    with pytest.raises(FileNotFoundError):
        llama4.Vocab.open(tmp_path / "none")
    with llama4.Model.open(GOLDEN / "gguf/scout_long.gguf") as model:
        assert model.info.has_vocabulary == 0
        with pytest.raises(llama4.Error) as e:
            model.chat("a")
        assert e.value.status == _ffi.LLAMA4_ERR_NO_VOCABULARY
        with model.context() as context:  # works without one, with ids
            assert len(list(context.generate([1, 2], max_tokens=3))) == 3
        with pytest.raises(llama4.Error) as e:
            model.vocab
        assert e.value.status == _ffi.LLAMA4_ERR_NO_VOCABULARY
    with pytest.raises(llama4.FormatError, match="a vocabulary of 640 tokens does not fit"):
        llama4.Model.open(GOLDEN / "gguf/scout_long.gguf", vocabulary=GOLDEN / "scout/model/tokenizer.json")
    with pytest.raises(FileNotFoundError, match="absent.json"):
        llama4.Model.open(TINY, vocabulary=tmp_path / "absent.json")
    with llama4.Model.open(GOLDEN / "dense/model", vocabulary=GOLDEN / "scout/model/tokenizer.json") as model:
        assert model.detokenize(model.tokenize("hello")) == "hello"


def test_errors(tmp_path):
    with pytest.raises(FileNotFoundError) as e:
        llama4.Model.open(tmp_path / "absent.gguf")
    assert isinstance(e.value, llama4.Error) and e.value.status == _ffi.LLAMA4_ERR_IO and "absent.gguf" in e.value.message
    assert str(e.value) == e.value.message
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(TINY.read_bytes()[:5000])
    with pytest.raises(llama4.FormatError, match="bad.gguf") as e:
        llama4.Model.open(bad)
    assert e.value.status == _ffi.LLAMA4_ERR_FORMAT and isinstance(e.value, ValueError)
    copy = pickle.loads(pickle.dumps(e.value))
    assert (type(copy), copy.status, copy.message) == (type(e.value), e.value.status, e.value.message)
    for path in ("a\0b", b"a\0b"):
        with pytest.raises(llama4.ArgumentError, match="NUL"):
            llama4.Model.open(path)
    with pytest.raises(llama4.Error):
        llama4.Model.open_memory(b"")
    with pytest.raises(llama4.Error):
        llama4.Model.open_fd(-1)
    with pytest.raises(llama4.ArgumentError, match="cpu_level"):
        llama4.Model.open(TINY, cpu_level=1 << 40)
    with pytest.raises(TypeError):
        llama4.Model.open(TINY, cpu_level="x")
    with pytest.raises(TypeError):
        llama4.Model.open(3)


@pytest.mark.parametrize("number", [s for s in range(-12, 0)])
def test_every_status_is_an_error_of_its_own_kind(number):
    from llama4 import _errors

    error = _errors.make(number, "text")
    assert isinstance(error, llama4.Error) and (error.status, error.message) == (number, "text")


def test_progress_and_log(tmp_path):
    fractions = []
    llama4.Model.open(TINY, progress=fractions.append).close()
    assert fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] == 1
    with pytest.raises(llama4.CancelledError) as e:
        llama4.Model.open(TINY, progress=lambda fraction: True)
    assert e.value.status == _ffi.LLAMA4_ERR_CANCELLED

    def fail(fraction):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        llama4.Model.open(TINY, progress=fail)
    with pytest.raises(KeyError, match="mine"):
        llama4.Vocab.open(TINY, progress=fail)
    with pytest.raises(KeyError, match="mine"):
        llama4.convert(TINY, tmp_path / "out.gguf", progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_progress_runs_in_the_callers_thread():
    import threading

    seen = set()
    note = lambda fraction: seen.add(threading.get_ident())
    llama4.Model.open(TINY, progress=note)
    assert seen == {threading.get_ident()}
    thread = threading.Thread(target=lambda: llama4.Model.open(TINY, progress=note))
    thread.start()
    thread.join()
    assert len(seen) == 2


def test_log(tmp_path):
    lines = []
    with llama4.Model.open(TINY, log=lambda level, text: lines.append((level, text))) as model:
        model.context()
    assert all(isinstance(level, int) and isinstance(text, str) for level, text in lines)
    from llama4._native import log_callback

    log_callback(lambda level, text: lines.append((level, text)))(None, 2, "Grüße".encode())
    assert lines[-1] == (2, "Grüße")


def test_convert(tmp_path):
    fractions, out = [], tmp_path / "out.gguf"
    llama4.convert(GOLDEN / "scout/model", out, type="q8_0", progress=fractions.append)
    assert fractions[-1] == 1
    with llama4.Model.open(out) as model:
        assert model.info.type == "Q8_0"
    with pytest.raises(llama4.Error, match="q9"):
        llama4.convert(TINY, tmp_path / "x.gguf", type="q9")
    with pytest.raises(FileNotFoundError):
        llama4.convert(tmp_path / "absent", tmp_path / "x.gguf")
    assert [p.name for p in tmp_path.iterdir()] == ["out.gguf"]


def test_convert_by_importance(tmp_path):
    name, values = b"blk.0.attn_q.weight", np.where(np.arange(256) % 4, 0.01, 1.0).astype("<f4")
    head = np.array([1, len(name)], "<i4").tobytes() + name + np.array([1, len(values)], "<i4").tobytes()
    imatrix, lines = tmp_path / "imatrix.dat", []
    imatrix.write_bytes(head + values.tobytes())
    plain, weighted = tmp_path / "plain.gguf", tmp_path / "weighted.gguf"
    llama4.convert(TINY, plain, type="q4_k")
    llama4.convert(TINY, weighted, type="q4_k", imatrix=imatrix, log=lambda level, text: lines.append(text))
    assert plain.read_bytes() != weighted.read_bytes() and plain.stat().st_size == weighted.stat().st_size
    assert any("imatrix.dat" in line for line in lines)
    with pytest.raises(FileNotFoundError):
        llama4.convert(TINY, plain, type="q4_k", imatrix=tmp_path / "absent")
    with pytest.raises(llama4.Error, match="not an imatrix"):
        llama4.convert(TINY, plain, type="q4_k", imatrix=TINY)
    with pytest.raises(llama4.Error, match="imatrix_path needs a type"):
        llama4.convert(TINY, plain, imatrix=imatrix)


def test_closing():
    model = llama4.Model.open(TINY)
    context, sampler, vocab = model.context(), llama4.Sampler(model, 1), model.vocab
    detokenizer = vocab.detokenizer()
    for thing in (model, context, sampler, vocab, detokenizer):
        assert not thing.closed
        thing.close()
        thing.close()
        assert thing.closed and "closed" in repr(thing) or thing in (sampler, detokenizer)
        with pytest.raises(llama4.StateError, match=f"this {type(thing).__name__} is closed"):
            thing.__enter__()
    for call in (lambda: model.chat("x"), model.context, lambda: model.vocab, model.tensors, lambda: llama4.Sampler(model),
                 lambda: context.decode(1), context.logits, lambda: context.info, context.truncate, lambda: context.generate([1]),
                 lambda: sampler.sample([1.0]), sampler.greedy, lambda: detokenizer.push(1)):
        with pytest.raises(llama4.StateError):
            call()
    context.cancel()


def test_not_copied_nor_pickled(tiny, context):
    import copy

    for thing in (tiny, context, tiny.vocab, llama4.Sampler(tiny)):
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                attempt(thing)


def test_versions():
    version = f"{_ffi.LLAMA4_VERSION_MAJOR}.{_ffi.LLAMA4_VERSION_MINOR}.{_ffi.LLAMA4_VERSION_PATCH}"
    assert llama4.__version__ == version == llama4.library_version


def test_sampler(tiny):
    logits = np.array([1, 5, 3, np.nan, 5], np.float32)
    assert llama4.Sampler(tiny).sample(logits) == 1 == llama4.Sampler(tiny).greedy().sample([1, 5, 3])
    assert llama4.Sampler(tiny).temperature(0).sample(logits.astype(np.float64)) == 1
    drawn = [llama4.Sampler(tiny, seed).temperature(1.0).top_k(2).sample(logits) for seed in range(50)]
    assert set(drawn) == {1, 4}
    sampler = llama4.Sampler(tiny, 9).temperature(3.0)
    first = [sampler.sample([1, 2, 3, 4]) for _ in range(20)]
    sampler.reset(9)
    assert [sampler.sample([1, 2, 3, 4]) for _ in range(20)] == first
    assert llama4.Sampler(tiny, None).seed != llama4.Sampler(tiny, None).seed
    for bad in (lambda s: s.temperature(-1), lambda s: s.temperature(float("nan")), lambda s: s.top_p(2), lambda s: s.top_k(-1), lambda s: s.top_k(1 << 32),
                lambda s: s.min_p(-0.1), lambda s: s.sample([float("nan")]), lambda s: s.sample([]), lambda s: s.sample([[1.0]]), lambda s: s.reset(-1)):
        with pytest.raises(llama4.ArgumentError):
            bad(llama4.Sampler(tiny))
    view = np.arange(20, dtype=np.float32)[::2]
    assert llama4.Sampler(tiny).sample(view) == 9
