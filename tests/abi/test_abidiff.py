"""abidiff of the library against llama4.abi. That a break is seen is proved on libraries of the same ABI without code: made from the
header, once as it is and then with something changed."""
import re

from abidiff import BASELINE, compare, debug_build
from harness import INCLUDE, ROOT, have, run

# what is changed in the header, into what, and whether that keeps the ABI
VARIANTS = [
    ("a field in the middle of a struct", "    int32_t kv_heads;  ", "    int32_t inserted, inserted_too;\n    int32_t kv_heads;  ", False),
    ("a field of another type", "    int64_t kv_bytes;        /* held", "    double kv_bytes;        /* held", False),
    ("two fields that changed places", "    int64_t kv_bytes;        /* held by keys and values now */\n    int64_t scratch_bytes;",
     "    int64_t scratch_bytes;\n    int64_t kv_bytes;", False),
    ("a field less", "    int32_t reserved;         /* 0 */\n} llama4_generate_result;", "} llama4_generate_result;", False),
    ("a parameter more", "llama4_context_cancel(llama4_context *context)", "llama4_context_cancel(llama4_context *context, int32_t why)", False),
    ("a parameter of another type", "llama4_sampler_add_top_k(llama4_sampler *sampler, int32_t k,",
     "llama4_sampler_add_top_k(llama4_sampler *sampler, int64_t k,", False),
    ("a result of another type", "LLAMA4_API int64_t llama4_context_sequence_length(", "LLAMA4_API int32_t llama4_context_sequence_length(", False),
    ("a callback with another signature", "typedef int32_t (*llama4_progress_fn)(void *user, float fraction);",
     "typedef int32_t (*llama4_progress_fn)(void *user, double fraction);", False),
    ("a function less", "LLAMA4_API uint32_t llama4_version(void);", "", False),
    ("a field at the end of a struct", "\n} llama4_model_info;", "\n    int64_t added;\n} llama4_model_info;", True),
    ("a wider field in a struct that also grew", "    float rope_base;                    /* frequency base */",
     "    double rope_base, inserted;\n", False),
    ("a function more", "LLAMA4_API uint32_t llama4_version(void);", "LLAMA4_API uint32_t llama4_version(void);\n"
     "LLAMA4_API uint32_t llama4_added(void);", True),
]


def hollow(t, name, text):
    """A library without code from the text of a header: its functions, sizes and nodes."""
    folder = t.scratch / name.replace(" ", "-")
    (folder / "include/llama4").mkdir(parents=True)
    (folder / "include/llama4/llama4.h").write_text(text)
    (folder / "include/llama4/version.h").write_text((INCLUDE / "llama4/version.h").read_text())
    plain = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    functions = re.findall(r"^LLAMA4_API ([^;{]*?\*?)(llama4_\w+)(\([^;]*\));", plain, re.M)
    body = "#include <llama4/llama4.h>\n"
    for handle in t.api["handles"]:  # so that debug information speaks of them
        body += f"struct {handle['name']} {{ int private; }};\n"
    for result, function, params in functions:
        body += f"{result}{function}{params}\n{{\n"
        body += "".join(f"    (void){p};\n" for p in re.findall(r"(\w+)\s*(?=[,)])", params) if p != "void")
        body += "}\n" if result.strip() == "void" else "    return 0;\n}\n"
    (folder / "hollow.c").write_text(body)
    map_text = (ROOT / "lib/llama4.map").read_text()
    for gone in set(re.findall(r"\b(llama4_\w+);", map_text)) - {f for _, f, _ in functions}:
        map_text = re.sub(rf"\s*{gone};", "", map_text)
    for new in {f for _, f, _ in functions} - set(re.findall(r"\b(llama4_\w+);", map_text)):
        map_text = map_text.replace("global:", f"global:\n    {new};", 1)
    (folder / "hollow.map").write_text(map_text)
    library = folder / "libllama4.so"
    r = run([*t.cc, "-g", "-O0", "-shared", "-fPIC", "-DLLAMA4_BUILD", "-fvisibility=hidden", "-I", folder / "include", folder / "hollow.c",
             "-o", library, f"-Wl,-soname,{t.soname}", f"-Wl,--version-script={folder / 'hollow.map'}"])
    return (library, folder / "include") if t.ok(f"a library without code, {name}", r.returncode == 0, r.stderr) else (None, None)


def tests(t):
    if not t.ok("there is a baseline", BASELINE.is_file()):
        return
    t.ok("the baseline names no folder of the machine that made it", not re.search(r"path='(/|\.\.)", BASELINE.read_text()))
    if not have("abidiff") or not have("abidw"):
        t.skip("abidiff", "abidiff and abidw are missing (package abigail-tools)")
        return
    header = (INCLUDE / "llama4/llama4.h").read_text()
    library, include = hollow(t, "as it is", header)
    if library:
        good, report = compare(library, include)
        t.ok("a library without code has the baseline's ABI", good, report)
    for name, old, new, keeps in VARIANTS:
        if not t.ok(f"{name}: there is something to change", old in header, f"llama4.h no longer holds {old!r}: change this test"):
            continue
        library, include = hollow(t, name, header.replace(old, new, 1))
        if library:
            good, report = compare(library, include)
            t.ok(f"{name} is {'accepted' if keeps else 'refused'}", good == keeps and (keeps or "llama4_" in report), report)
    if not have("meson"):
        t.skip("abidiff of the library", "no meson to build it with debug information")
        return
    library, said = debug_build(t.build / "abi-debug")
    if t.ok("a debug build", library is not None, said):
        good, report = compare(library)
        t.ok("the library has the baseline's ABI", good, report)
