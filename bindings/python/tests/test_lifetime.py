"""Objects may go in any order, by name, by the garbage collector, at the end of the interpreter, in a forked child."""
import ctypes
import gc
import itertools
import os
import sys
import weakref

import pytest
from conftest import TINY, run_python

import llama4
from llama4 import _native

HANDLES = ("model", "context", "sampler", "vocab", "detokenizer", "view", "generation", "answer")


def build():
    model = llama4.Model.open(TINY)
    context = model.context(threads=2)
    sampler = llama4.Sampler(model, 1).temperature(1.0)
    detokenizer = model.vocab.detokenizer()
    context.decode([1, 2, 3])
    generation = model.context(threads=1).generate([1, 2], max_tokens=3, sampler=sampler)
    next(generation)
    answer = model.chat("Hello", max_tokens=5)
    next(answer)
    return dict(model=model, context=context, sampler=sampler, vocab=model.vocab, detokenizer=detokenizer, view=context.logits(),
                generation=generation, answer=answer)


def use(things):
    """Whatever is left works."""
    for name, thing in things.items():
        if name == "context":
            thing.decode(1)
        elif name == "sampler":
            thing.sample([1.0, 2.0])
        elif name == "vocab":
            thing.tokenize("text")
        elif name == "detokenizer":
            thing.push(65)
        elif name == "view":
            assert thing.shape == (2048,) and float(thing.sum()) == float(thing.sum())
        elif name == "model":
            thing.tokenize("text")


@pytest.fixture
def released(monkeypatch):
    """Counts native objects that were made and given back."""
    counts = {"made": 0, "released": 0}
    make = _native.Handle.__init__

    def counted_make(self, pointer, release, *keep):
        def counted_release(native):
            release(native)
            counts["released"] += 1

        make(self, pointer, counted_release, *keep)
        counts["made"] += 1

    gc.collect()
    monkeypatch.setattr(_native.Handle, "__init__", counted_make)
    yield counts
    gc.collect()


def test_many_orders(released):
    """Orders in which three of them go first, the rest in the order of their making."""
    for order in list(itertools.permutations(HANDLES, 3))[::5]:
        things = build()
        for name in order:
            del things[name]
            use(things)
        del things
    assert released["made"] == released["released"] > 50


@pytest.mark.parametrize("first", HANDLES)
def test_closed_in_every_position(first, released):
    things = build()
    if hasattr(things[first], "close"):
        things[first].close()
    things.pop(first)
    use(things)
    del things
    gc.collect()
    assert released["made"] == released["released"]


def test_no_cycles(released):
    """Nothing waits for the garbage collector, which may be off: memory of models is too much to wait."""
    gc.collect()
    gc.disable()
    try:
        things = build()
        things["answer"].text()
        dead = weakref.ref(things["context"])
        del things
        assert dead() is None and released["made"] == released["released"]
    finally:
        gc.enable()


def test_cycles_made_by_users(released):
    for _ in range(5):
        things = build()
        things["model"].mine = things["context"].mine = things
        box = []
        box.append(things["model"].context(progress=lambda fraction, box=box: None))
        box[0].decode([1, 2])
        del things, box
    gc.collect()
    assert released["made"] == released["released"]


def test_finalisers_in_a_cycle(released):
    """They run in any order: those of users may find native objects gone, and get errors, not crashes."""
    said = []

    class Late:
        def __del__(self):
            for use_it in (lambda: self.things["context"].decode([1] * 3), lambda: self.things["context"].logits(), lambda: self.things["model"].tokenize("a"),
                           lambda: self.things["vocab"].tokenize("a"), lambda: self.things["sampler"].sample([1.0]),
                           lambda: self.things["detokenizer"].push(1), lambda: self.things["answer"].text(),
                           lambda: len(self.things["vocab"]), lambda: next(self.things["generation"]), lambda: self.things["context"].cancel()):
                try:
                    use_it()
                    said.append("alive")
                except llama4.StateError as e:
                    said.append(str(e))
                except BufferError:
                    said.append("view")
            said.append(float(self.things["view"].sum()))

    for late_first in (True, False):
        first = Late() if late_first else None
        things = build()
        late = first or Late()
        late.things, things["late"] = things, late
        things["model"].mine = things
        del things, late, first
        gc.collect()
    assert len(said) == 22 and "this Context is closed" in said
    assert released["made"] == released["released"]


def test_callbacks_live_as_long_as_the_native_object():
    lines = []
    model = llama4.Model.open(TINY, progress=lambda f: None, log=lambda level, text: lines.append(text))
    context = model.context(progress=lambda f: None)
    model.close()
    del model
    gc.collect()
    junk = [_native.log_callback(lambda level, text: None) for _ in range(100)]
    context.decode([1] * 50)
    assert len(junk) == 100


@pytest.mark.parametrize("code", [
    "keep = (model, context, view, sampler, answer)",
    "import builtins; builtins.keep = (view, context, model); view = context = None",
    "context.me = context; model.me = model; sampler.me = (sampler, view)",
    "import atexit; atexit.register(lambda: print(context.decode(1), view.sum() > 0, model.tokenize('a')))",
    "import atexit; atexit.register(lambda: context.decode([1] * 50))",
    "import threading; threading.Thread(target=lambda: context.decode([1] * 3000)).start()",
    "import threading, time; threading.Thread(target=lambda: context.decode([1] * 100000), daemon=True).start(); time.sleep(0.2)",
    "import sys; sys.modules['llama4'] = None; del llama4",
    "class Late:\n def __del__(self): context.decode(1)\nlate = Late()\nimport builtins; builtins.late = late",
    "raise SystemExit(0)",
])
def test_end_of_the_interpreter(code):
    setup = ("import sys, llama4; model = llama4.Model.open(sys.argv[1]); context = model.context(threads=2); context.decode([1, 2]);"
             "view = context.logits(); sampler = llama4.Sampler(model); answer = model.chat('Hello'); next(answer)\n")
    done = run_python(setup + code, TINY)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr, done.stderr.decode()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child():
    """A child may not use its parent's contexts, whose threads it does not have, nor hang when it lets go of them."""
    code = """if True:
        import gc, os, sys, llama4
        model = llama4.Model.open(sys.argv[1])
        context = model.context(threads=2)
        context.decode([1, 2])
        pid = os.fork()
        if pid == 0:
            try:
                context.decode([3])
            except llama4.StateError as e:
                assert "forked" in str(e)
                context.cancel()
                del context
                gc.collect()
                own = model.context(threads=2)
                own.decode([1, 2])
                os._exit(7 if model.chat("What is 11 + 3?", temperature=0).text() == "11 + 3 = 14." else 1)
            os._exit(2)
        _, status = os.waitpid(pid, 0)
        context.decode([3])
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    done = run_python(code, TINY)
    assert done.returncode == 7, done.stderr.decode()


def test_many_contexts_do_not_pile_up(tiny):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc")
    after_warming = 0
    for i in range(120):
        with tiny.context(threads=1) as context:
            context.decode([1] * 64)
            for token in context.generate([1], max_tokens=2):
                pass
        if i == 40:
            after_warming = resident()
    assert resident() - after_warming < 8e6


def test_handle_is_not_released_twice():
    calls = []
    handle = _native.Handle(ctypes.c_int(3), calls.append)
    assert sys.getrefcount(handle) >= 1 and handle.here()
    del handle
    assert len(calls) == 1
