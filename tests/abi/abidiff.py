"""What test_abidiff.py and update-baseline share: a debug build, a baseline from it, and comparing with one."""
import re
import xml.etree.ElementTree

from harness import ABI, INCLUDE, ROOT, run

BASELINE = ABI / "llama4.abi"


def debug_build(folder):
    """The shared library with debug information, or what went wrong."""
    arguments = ["-Dtests=false", "--buildtype=debug", "--default-library=shared"]
    ready = (folder / "build.ninja").is_file()
    r = run(["meson", "setup", *(["--reconfigure"] if ready else []), folder, ROOT, *arguments])
    if r.returncode:
        return None, r.stdout + r.stderr
    for ninja in ("ninja", "ninja-build"):
        listed = run([ninja, "-C", folder, "-t", "targets", "all"])
        target = re.search(r"^(libllama4\.so\.\d+\.\d+\.\d+): ", listed.stdout, re.M)
        if target:
            r = run([ninja, "-C", folder, target.group(1)], timeout=600)
            return (folder / target.group(1), "") if r.returncode == 0 else (None, r.stdout + r.stderr)
    return None, listed.stdout + listed.stderr


def baseline_of(library, headers=INCLUDE):
    """The library's ABI as text: only what is public, and nothing about the machine."""
    r = run(["abidw", "--headers-dir", headers, "--drop-private-types", "--exported-interfaces-only", "--no-corpus-path",
             "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed", "--no-parameter-names", library])
    if r.returncode:
        raise SystemExit(r.stderr)
    return re.sub(r"path='[^']*/([^/']*)'", r"path='\1'", r.stdout)


def without_additions(text):
    """The same ABI less the fields that structs got at their end since the baseline: structs begin with their size, or come with a
    stride, so they may grow. (abidiff's own has_data_member_inserted_at = end forgives any change of a struct without insertion.)
    Handles are what they are in the baseline, names: abidw does not leave out their insides with every compiler."""
    sizes, handles = {}, set()
    for c in xml.etree.ElementTree.parse(BASELINE).iter("class-decl"):
        if c.get("is-declaration-only") == "yes":
            handles.add(c.get("name"))
        else:
            sizes[c.get("name")] = int(c.get("size-in-bits"))
    tree = xml.etree.ElementTree.fromstring(text)
    for struct in tree.iter("class-decl"):
        name, size = struct.get("name"), int(struct.get("size-in-bits") or 0)
        if name in handles and name not in sizes:
            struct.set("is-declaration-only", "yes")
            struct.attrib.pop("size-in-bits", None)
            struct[:] = []
        elif name in sizes and size > sizes[name]:
            struct.set("size-in-bits", str(sizes[name]))
            struct[:] = [m for m in struct if int(m.get("layout-offset-in-bits") or 0) < sizes[name]]
    return xml.etree.ElementTree.tostring(tree, encoding="unicode")


def compare(library, headers=INCLUDE):
    """(compatible, report). New functions, and new fields at the end of a struct, are additions.

    Text is compared with text: told to leave private types out itself, abidiff 2.2 would leave out public ones too, as the
    baseline does not say where they were declared."""
    text = library.with_name(library.name + ".abi")
    text.write_text(without_additions(baseline_of(library, headers)))
    r = run(["abidiff", "--harmless", "--no-added-syms", BASELINE, text])
    return r.returncode == 0, f"abidiff: status {r.returncode}\n{r.stdout}{r.stderr}"
