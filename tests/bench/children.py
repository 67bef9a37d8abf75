"""What tests/bench/compare starts: the llama4 program and the peer, with what they used; and the peer's environments."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = "llama-cpp-python==0.3.36"
# Its build finds AMX and uses it; some virtual machines announce that and stop the program all the same.
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
BUILDS = {
    "peer": "-DGGML_NATIVE=ON",
    "peer-avx2": "-DGGML_NATIVE=OFF -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
                 " -DGGML_AVX_VNNI=OFF -DGGML_AVX512=OFF",
}


class Failed(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- the peer's environments ----


def peer_python(folder, name):
    """The interpreter of an environment that has the peer, made if it is not there: a quarter of an hour on two cores."""
    python = folder / name / "bin/python"
    if (folder / name / "complete").exists():
        return python
    say(f"building {PACKAGE} in {folder / name} ({BUILDS[name]}): this takes a while")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    env = dict(os.environ, CFLAGS=NO_AMX, CXXFLAGS=NO_AMX, CMAKE_ARGS=BUILDS[name], CMAKE_BUILD_PARALLEL_LEVEL=str(processors()))
    with open(log, "w") as out:
        for command in ([sys.executable, "-m", "venv", "--clear", str(folder / name)],
                        [str(python), "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--no-binary", "llama-cpp-python", PACKAGE]):
            if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=env).returncode != 0:
                raise Failed(f"the peer cannot be built, see {log}")
    (folder / name / "complete").touch()
    return python


def processors():
    return len(os.sched_getaffinity(0))


# ---- running ----


def ticks():
    """Jiffies of all processors: at work, wanted but kept by the host of a virtual machine, and in all."""
    with open("/proc/stat") as f:
        t = [int(x) for x in f.readline().split()[1:9]]
    return t[0] + t[1] + t[2] + t[5] + t[6], t[7], sum(t)


class Runner:
    """Runs programs one at a time, and counts what others took of the machine meanwhile: programs beside them, and the host."""

    def __init__(self):
        self.own = self.busy = self.stolen = self.all = 0.0

    def run(self, command):
        """The JSON object that a program prints, with its peak memory as "peak_bytes" and what the host kept of the processor time as "stolen"."""
        busy, stolen, total = ticks()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            try:
                _, status, used = os.wait4(process.pid, 0)
            except BaseException:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            text, errors = out.read().decode(), err.read().decode(errors="replace")
        if process.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}\n  ended with {process.returncode}: {errors.strip()[-2000:]}")
        busy, stolen, total = (after - before for after, before in zip(ticks(), (busy, stolen, total)))
        self.own += (used.ru_utime + used.ru_stime) * os.sysconf("SC_CLK_TCK")
        self.busy += busy
        self.stolen += stolen
        self.all += total
        try:
            result = json.loads(text)
        except ValueError:
            result = {"text": text}
        result["peak_bytes"] = used.ru_maxrss * 1024
        result["stolen"] = stolen / (busy + stolen) if busy + stolen else 0.0
        return result

    def undisturbed(self, command, most, tries):
        """The same, of the start from which the host kept the least: the first that lost no more than a share, if one of so many is."""
        best = None
        for i in range(tries):
            result = self.run(command)
            best = result if best is None or result["stolen"] < best["stolen"] else best
            if best["stolen"] <= most:
                break
            if i + 1 < tries:
                say(f"  once more: the host kept {100 * result['stolen']:.1f} % of the processor time")
        return best

    def others(self):
        """The shares of the machine that other programs and the host took."""
        return {name: x / self.all if self.all else 0.0 for name, x in (("programs", max(0.0, self.busy - self.own)), ("host", self.stolen))}


def others_in_words(others):
    return f"Other programs took {100 * others['programs']:.1f} % of the machine, and the host {100 * others['host']:.1f} %."


def read_once(path):
    """Seconds to read a file from its first byte to its last, and forget it."""
    block = bytearray(256 << 10)
    began = time.perf_counter()
    fd = os.open(path, os.O_RDONLY)
    try:
        while os.readv(fd, [block]) > 0:
            pass
    finally:
        os.close(fd)
    return time.perf_counter() - began


def memory_bytes():
    """What this machine, and the control group if it sets a limit, have."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = pathlib.Path("/sys/fs/cgroup/memory.max").read_text().strip()
        most = min(most, int(limit)) if limit.isdigit() else most
    except OSError:
        pass
    return most
