"""Ctrl-C."""
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import TINY, run_python
from test_context import long_prompt

import llama4

# Seconds from the signal to the exception. 0.1 is what is promised and what an idle machine keeps (LLAMA4_INTERRUPT_LIMIT=0.1 pytest); a test must not
# fail because a machine is busy.
LIMIT = float(os.environ.get("LLAMA4_INTERRUPT_LIMIT", "10"))


class Interrupt:
    """Sends SIGINT after a while, and measures until the exception is caught."""

    def __init__(self, after, send=lambda: os.kill(os.getpid(), signal.SIGINT)):
        self._send, self._timer = send, threading.Timer(after, self._fire)

    def _fire(self):
        self.at = time.perf_counter()
        self._send()

    def __enter__(self):
        self._timer.start()
        return self

    def __exit__(self, kind, value, trace):
        self.took = time.perf_counter() - self.at
        self._timer.join()
        assert kind is KeyboardInterrupt, "it came to its end before the signal"
        assert self.took < LIMIT, f"{self.took:.3f} s"
        return True


@pytest.mark.parametrize("send", [lambda: os.kill(os.getpid(), signal.SIGINT), lambda: signal.raise_signal(signal.SIGINT)],
                         ids=["kill", "raise_signal"])
def test_long_prompt(tiny, context, send):
    """kill may choose any thread; raise_signal takes the timer's, which wakes nobody else."""
    ids = long_prompt(tiny)
    for after in (0.05, 0.3, 0.71):
        with Interrupt(after, send):
            context.decode(ids)
        assert context.sequence_length() == 0
    context.decode(ids[:10])
    assert context.sequence_length() == 10


def test_long_prompt_of_a_conversation(tiny):
    text = tiny.detokenize(long_prompt(tiny))
    answer = tiny.chat([{"role": "user", "content": text}])
    with Interrupt(0.3):
        next(answer)
    assert answer.stopped == "closed"
    assert tiny.chat("What is 11 + 3?", temperature=0).text() == "11 + 3 = 14."


def test_generation(tiny, context):
    generation = context.generate("Structure of a", sampler=llama4.Sampler(tiny, 1).temperature(1.0), ignore_stop=True)
    with Interrupt(0.2):
        for _ in generation:
            pass
    assert context.sequence_length() == generation.prompt_tokens + len(generation.ids) - 1
    next(generation)


STRIKER = """if True:
    import os, signal, sys, time
    for line in sys.stdin:
        until = time.perf_counter() + float(line)
        while time.perf_counter() < until:
            pass
        os.kill(os.getppid(), signal.SIGINT)
"""


def test_many_moments(tiny):
    """Wherever the signal strikes, it is seen, and the context works afterwards: no lock is left behind, no cancellation waits for the next
    call. It comes from another process: a threading.Timer would pick its moments by the interpreter's lock, and could swallow the
    exception when it is collected."""
    rows = [[1], long_prompt(tiny, 2), long_prompt(tiny, 80), long_prompt(tiny, 700)]
    striker = subprocess.Popen([sys.executable, "-c", STRIKER], stdin=subprocess.PIPE, bufsize=0)
    gc.collect()
    struck = 0
    with tiny.context() as context:
        for i in range(240):
            ids = rows[i % 4]
            try:
                striker.stdin.write(b"%f\n" % (0.000017 * i))
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    context.decode(ids)
                    context.decode(1)
                    context.truncate()
            except KeyboardInterrupt:
                struck += 1
            context.truncate()
            context.decode([1, 2, 3])
            assert context.sequence_length() == 3
            context.decode(4)
            context.truncate()
    striker.stdin.close()
    striker.wait()
    assert struck == 240


def test_with_progress(tiny):
    with tiny.context(progress=lambda fraction: None) as context:
        with Interrupt(0.3):
            context.decode(long_prompt(tiny))
        assert context.sequence_length() == 0
        context.decode([1, 2])


def test_compatible_class():
    llm = llama4.Llama(model_path=TINY, n_ctx=0, verbose=False)
    text = llm.detokenize(long_prompt(llm.model)).decode()
    with Interrupt(0.3):
        llm.create_chat_completion([{"role": "user", "content": text}])
    with Interrupt(0.3):
        for _ in llm.create_completion("Structure", stream=True, max_tokens=None, logit_bias={i: -100 for i in range(2000, 2048)}):
            pass
    assert llm.create_chat_completion([{"role": "user", "content": "What is 11 + 3?"}], temperature=0)["choices"][0]["message"]["content"]


def test_opening_and_converting(tmp_path, monkeypatch):
    """A file system that is slow, played by a progress function in the helper thread: the signal still arrives at once."""
    from llama4 import _native

    report = _native.Reporter.__call__
    monkeypatch.setattr(_native.Reporter, "__call__", lambda self, user, fraction: time.sleep(0.02) or report(self, user, fraction))
    for _ in range(3):
        with Interrupt(0.03):
            for _ in range(100):
                llama4.Model.open(TINY)
        with Interrupt(0.03):
            for _ in range(100):
                llama4.convert(TINY, tmp_path / "out.gguf")
    end = time.monotonic() + LIMIT
    while left := [p.name for p in tmp_path.iterdir() if p.name != "out.gguf"]:  # the helper thread removes its temporary file
        assert time.monotonic() < end, left
        time.sleep(0.01)


def test_releasing():
    """What takes long, played by a function of the C library: the exception is not lost in a finaliser."""
    from llama4 import _native

    handle = _native.Handle(ctypes.c_uint(30), ctypes.CDLL(None).sleep)
    with Interrupt(0.1, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)):
        del handle
        time.sleep(0)  # an instruction, behind which it is raised


def test_handlers_that_do_not_raise(tiny, context):
    """They run meanwhile, at once, and the call goes on."""
    ran = []
    before = signal.signal(signal.SIGUSR1, lambda *_: ran.append(time.perf_counter()))
    try:
        at = time.perf_counter()
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        context.decode(long_prompt(tiny, 12000))
        end = time.perf_counter()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert context.sequence_length() == 12000 and len(ran) == 1 and at < ran[0] < end


def test_uncaught():
    """A program that is interrupted ends at once, in the ordinary way."""
    code = """if True:
        import os, signal, sys, threading, time, llama4
        context = llama4.Model.open(sys.argv[1]).context()
        def strike():
            print(time.time(), flush=True)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(0.4, strike).start()
        context.decode([1] * 100000)
    """
    done = run_python(code, TINY)
    ended = time.time()
    assert done.returncode in (-signal.SIGINT, 130) and done.stderr.strip().endswith(b"KeyboardInterrupt"), done.stderr.decode()
    assert ended - float(done.stdout) < 1.0 and b"Exception ignored" not in done.stderr
