"""What tests/bench/streaming needs of the system: limits on memory, empty caches, and how fast the disk is. Linux only."""
import contextlib
import itertools
import mmap
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

BLOCK = 1 << 20


# ---- the disk ----


def forget(path):
    """Drops what the system keeps of the file in memory, and of all others where that is allowed."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("1\n")


def direct_rate(path, seconds=3.0, threads=4):
    """Bytes per second that several direct reads at a time get, one behind the other from a random place on; None where the file system knows no direct
    reads."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError:
        return None
    blocks = os.fstat(fd).st_size // BLOCK
    turns, done, failed = itertools.count(random.randrange(blocks)), [0] * threads, []
    end = time.perf_counter() + seconds

    def read(k):
        with mmap.mmap(-1, BLOCK) as buffer:
            while time.perf_counter() < end and not failed:
                try:
                    done[k] += os.preadv(fd, [buffer], next(turns) % blocks * BLOCK)
                except OSError as why:
                    failed.append(why)

    began = time.perf_counter()
    workers = [threading.Thread(target=read, args=(k,)) for k in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    os.close(fd)
    return None if failed else sum(done) / (time.perf_counter() - began)


# ---- memory ----


class Limit:
    """Runs a program with little memory: `prefix` goes before its command. `how` says by what means; `peak` is what it used at most, the system's
    cache of what it read included, once it has ended, or None if nobody counts that."""

    how, prefix = "none", []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def peak(self):
        return None


def own_groups(version):
    """Folders of the control groups that this process is in, itself first."""
    mounts, own = [], None
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = (after.split(" ") + ["", ""])[:3]
        if (version, kind) == (2, "cgroup2") or ((version, kind) == (1, "cgroup") and "memory" in options.split(",")):
            mounts.append(before.split(" ")[4])
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" if version == 2 else "memory" in controllers.split(","):
            own = path
    if not mounts or own is None:
        return []
    top = pathlib.Path(mounts[0])
    folder = top / own.strip("/")
    return [p for p in (folder, *folder.parents) if p == top or top in p.parents]


class Group(Limit):
    """A control group of its own. Without a limit in bytes it only counts."""

    FILES = {1: ("memory.limit_in_bytes", "memory.max_usage_in_bytes"), 2: ("memory.max", "memory.peak")}

    def __init__(self, folder, version, limit):
        self.folder, self.version = folder, version
        self.how = f"a control group (v{version})"
        self.prefix = ["sh", "-c", f'echo $$ > "{folder}/cgroup.procs" && exec "$@"', "sh"]
        if limit:
            (folder / self.FILES[version][0]).write_text(str(limit))

    @classmethod
    def make(cls, limit):
        """None if this process may not."""
        for version in (1, 2):
            for parent in own_groups(version):
                folder = parent / f"llama4-bench-{os.getpid()}-{time.monotonic_ns()}"
                try:
                    folder.mkdir()
                except OSError:
                    continue
                try:
                    if (folder / cls.FILES[version][0]).exists():
                        return cls(folder, version, limit)
                except OSError:
                    pass
                folder.rmdir()
        return None

    def peak(self):
        try:
            return int((self.folder / self.FILES[self.version][1]).read_text())
        except OSError:
            return None

    def __exit__(self, *_):
        for _ in range(50):
            try:
                self.folder.rmdir()
                break
            except OSError:  # its last process is still on its way out
                time.sleep(0.1)
        return False


class Scope(Limit):
    """systemd makes the control group."""

    def __init__(self, limit):
        self.how = "systemd-run"
        self.prefix = ["systemd-run", "--quiet", "--scope", *([] if os.getuid() == 0 else ["--user"]), "-p", f"MemoryMax={limit}", "--"]

    @classmethod
    def make(cls, limit):
        scope = cls(limit)
        try:
            done = subprocess.run([*scope.prefix, "true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return scope if done.returncode == 0 else None


class Balloon(Limit):
    """A process that locks all memory but so much."""

    CODE = """
import ctypes, mmap, sys
size = int(sys.argv[1])
memory = mmap.mmap(-1, size)
libc = ctypes.CDLL(None, use_errno=True)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
failed = libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size))
print("failed" if failed else "ready", flush=True)
sys.stdin.read()
"""

    def __init__(self, process, limit):
        self.process = process
        self.how = "memory locked by another process"

    @classmethod
    def make(cls, limit):
        free = next(int(line.split()[1]) * 1024 for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
        if free <= limit:
            return Limit()
        process = subprocess.Popen([sys.executable, "-c", cls.CODE, str(free - limit)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if process.stdout.readline().strip() == "ready":
            return cls(process, limit)
        process.communicate()
        return None

    def __exit__(self, *_):
        self.process.communicate()
        return False


def limited(limit):
    """The first means that works here; None if there is none."""
    for kind in (Group, Scope, Balloon):
        made = kind.make(limit)
        if made:
            return made
    return None


def counted():
    """No limit, but a count where that is possible."""
    return Group.make(None) or Limit()
