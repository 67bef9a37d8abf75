"""What the shared library exports: the functions of the header, in the version nodes of lib/llama4.map, and nothing else."""
import re

from harness import ROOT, read_map, run, V1


def exported(library):
    """name: (version node, kind) of every defined dynamic symbol."""
    found = {}
    for line in run(["nm", "-D", "--defined-only", "--with-symbol-versions", library]).stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] != "A":  # A: the nodes themselves
            name, _, node = words[2].partition("@")
            found[name] = (node.lstrip("@"), words[1])
    return found


def tests(t):
    declared = {f["name"]: f for f in t.api["functions"]}
    nodes = read_map(ROOT / "lib/llama4.map")
    listed = [s for _, _, symbols in nodes for s in symbols]
    t.ok("lib/llama4.map lists the header's functions", sorted(listed) == sorted(declared), sorted(set(listed) ^ set(declared)))
    t.ok("no pattern and no order but the alphabet's in lib/llama4.map",
         all(s == sorted(s) and not re.search(r"[*?\[]", " ".join(s)) for _, _, s in nodes), listed)
    t.ok("the first node bears the major version", bool(nodes) and nodes[0][0].split("_")[1].split(".")[0] == str(t.version[0]), nodes[:1])
    t.ok("each node follows the one before it", [n[1] for n in nodes] == [None] + [n[0] for n in nodes][:-1], nodes)

    node_of = {s: name for name, _, symbols in nodes for s in symbols}
    want = {name: f"LLAMA4_{f['since']}" if f["since"] else nodes[0][0] for name, f in declared.items()}
    wrong = [f"{n} is in {node_of.get(n)}, its comment says {want[n]}" for n in declared if node_of.get(n) != want[n]]
    t.ok("functions stand in the node of the version that brought them", not wrong, "\n".join(wrong))

    first = read_map(V1 / "llama4.map")[0]
    gone = [s for s in first[2] if node_of.get(s) != first[0]]
    t.ok("what the first version exported is still there, in the same node", not gone, gone)

    if not t.ok("the library was built", t.shared.is_file() and t.static.is_file(), t.build):
        return
    symbols = exported(t.shared)
    stray = sorted(set(symbols) ^ set(declared))
    t.ok("the shared library exports the header's functions and nothing else", not stray, stray)
    wrong = [f"{n}@{v[0]}" for n, v in symbols.items() if v[0] != node_of.get(n)]
    t.ok("in the nodes of the map", not wrong, wrong)
    t.ok("functions only, no data", all(kind == "T" for _, kind in symbols.values()), symbols)

    dynamic = run(["readelf", "-dW", t.shared]).stdout
    soname = re.findall(r"SONAME.*\[(.*)\]", dynamic)
    t.ok("the soname is the major version", soname == [t.soname], soname)

    # A call through the dynamic table could end in another copy of the library in the same process.
    own = [line for line in run(["readelf", "-rW", t.shared]).stdout.splitlines() if re.search(r"\bllama4_\w+@", line)]
    t.ok("the library calls itself directly, so that no other copy can step in", not own, "\n".join(own))

    strangers = {w[-1] for w in (line.split() for line in run(["nm", "-g", "--defined-only", t.static]).stdout.splitlines())
                 if len(w) == 3 and not re.match(r"(llama4|l4)_", w[-1])}
    t.ok("global names of the static library begin with llama4_ or l4_", not strangers, strangers)
