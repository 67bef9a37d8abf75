"""The generated files are what the header says, and the generator refuses what has no place in the ABI."""
import re
import shutil

from harness import INCLUDE, ROOT, run

GENERATE = ROOT / "bindings/generate"

# what to look for in the header, what to put in its place, what the complaint says; the line is that of the change
REFUSALS = [
    ("/** llama4_version: the version", "/* llama4_version: the version", r"function llama4_version is undocumented", 2),
    ("/** llama4_error: what", "/* llama4_error: what", r"struct llama4_error is undocumented", 2),
    ("/** llama4_vocab: a", "/* llama4_vocab: a", r"handle llama4_vocab is undocumented", 1),
    ("/** llama4_log_fn: receives", "/* llama4_log_fn: receives", r"callback llama4_log_fn is undocumented", 1),
    ("/** LLAMA4_KV_: (values)", "/* LLAMA4_KV_: (values)", r"constants from LLAMA4_KV_DEFAULT on are undocumented", 1),
    ("    int64_t bytes;          /* size */", "    int64_t bytes;", r"llama4_tensor_info.bytes is undocumented", 0),
    ("    int32_t threads;         /* in use */", "    int threads;             /* in use */", r"int is not of fixed width", 0),
    ("    int32_t threads;         /* in use */", "    long threads;            /* in use */", r"long is not of fixed width", 0),
    ("    int32_t threads;         /* in use */", "    size_t threads;          /* in use */", r"size_t in a struct", 0),
    ("    int32_t threads;         /* in use */", "    _Bool threads;           /* in use */", r"a bool has no fixed size", 0),
    ("    int32_t threads;         /* in use */", "    enum {A, B} threads;     /* in use */", r"enum", 0),
    ("    int32_t threads;         /* in use */", "    int32_t threads : 7;     /* in use */", r"bit-fields", 0),
    ("    int32_t threads;         /* in use */", "    union {int32_t a, b;} threads; /* in use */", r"union", 0),
    ("    int32_t threads;         /* in use */", "    llama4_batch_item threads; /* in use */", r"by value", 0),
    ("    int32_t threads;         /* in use */", "    long double threads;     /* in use */", r"long double", 0),
    ("    int32_t threads;         /* in use */", "    int64_t threads;         /* in use */", r"4 bytes of implicit padding before threads", 0),
    ("    int32_t reserved;         /* 0 */\n} llama4_generate_result;", "} llama4_generate_result;", r"4 bytes of implicit padding at its end", None),
    ("    uint32_t struct_size;    /* sizeof(llama4_context_info) */\n    int32_t threads;         /* in use */",
     "    int32_t threads;         /* in use */\n    uint32_t struct_size;    /* sizeof(llama4_context_info) */", r"struct_size comes first", None),
    ("    uint32_t struct_size;    /* sizeof(llama4_context_info) */", "    uint32_t size;           /* sizeof(llama4_context_info) */",
     r"llama4_context_info: llama4_context_get_info takes it, so it begins with uint32_t struct_size", None),
    ("    llama4_log_fn log;            /* (nullable) inherited */", "    llama4_log_fn log;            /* inherited */", r"\(nullable\)", 0),
    ("stride=tool_call_stride) of", ") of", r"arrays of structs are passed with a stride", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, int32_t token, ...);", r"variadic", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, int token);", r"int is not of fixed width", 0),
    ("const llama4_vocab *vocab, int32_t token);", "llama4_error vocab, int32_t token);", r"by value", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, int32_t *token);", r"@token can be written to: say \(out\)", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, const int32_t *token);", r"say \(array length=", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, int32_t token[4]);", r"pointer in disguise", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, void (*token)(void));", r"typedef of a function pointer", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, int32_t);", r"without a name", 0),
    ("const llama4_vocab *vocab, int32_t token);", "const llama4_vocab *vocab, struct FILE *token);", r"belongs to somebody else", 0),
    ("#include <stddef.h>", "#include <stddef.h>\n#include <stdio.h>", r"#include <stdio.h>: the header needs", 1),
    ("LLAMA4_API uint32_t llama4_version(void);", "LLAMA4_API uint32_t llama4_version();", r"write \(void\)", 0),
    ("LLAMA4_API uint32_t llama4_version(void);", "uint32_t llama4_version(void);", r"does not begin with LLAMA4_API", 0),
    ("LLAMA4_API uint32_t llama4_version(void);", "LLAMA4_API extern int32_t llama4_global;", r"data never crosses", 0),
    ("LLAMA4_API uint32_t llama4_version(void);", "LLAMA4_API static uint32_t llama4_version(void) { return 1; }", r"with a body", 0),
    ("LLAMA4_API uint32_t llama4_version(void);", "LLAMA4_API int64_t *llama4_version(void);", r"who owns the result", 0),
    ("LLAMA4_API int32_t llama4_vocab_get_size(", "LLAMA4_API llama4_status llama4_vocab_get_size(", r"takes llama4_error \*error as its last", 0),
    ("LLAMA4_API uint32_t llama4_version(void);", "LLAMA4_API uint32_t version(void);", r"names begin with llama4_", 0),
    (" * @count: (out): ids needed. */", " * @count: (out): ids needed.\n * @nobody: (out): nothing. */", r"@nobody is no parameter", None),
    (" * @count: (out): ids needed. */", " * @count: (outt): ids needed. */", r"unknown annotation \(outt\)", None),
    (" * @tokens: (out) (array length=capacity): ids.\n * @count: (out): ids needed. */",
     " * @tokens: (out) (array length=capcity): ids.\n * @count: (out): ids needed. */", r"there is no capcity", None),
    (" * @vocab: (out) (transfer full): release with llama4_vocab_release. */",
     " * @vocab: (out): release with llama4_vocab_release. */", r"say \(transfer full\) or \(transfer none\)", None),
    ("@vocab: (nullable) (transfer full). */", "@vocab: (transfer full). */", r"takes one handle, \(nullable\) \(transfer full\)", None),
    ("(nullable). @on_text: (nullable). @result: (out) (nullable)", "(nullable). @on_text: (nullable). @result: (nullable)",
     r"@result can be written to", None),
    ("#define LLAMA4_TOKEN_STOP 2u ", "#define LLAMA4_TOKEN_STOP 3u ", r"a flag is one bit", 0),
    ("#define LLAMA4_TOKEN_STOP 2u ", "#define LLAMA4_TOKEN_STOP 1u ", r"has the same value", 0),
    ("#define LLAMA4_TOKEN_STOP 2u ", "#define LLAMA4_TOKEN_STOP 2  ", r"\(flags\) are written with u", 0),
    ("#define LLAMA4_KV_F16 1", "#define LLAMA4_KV_F16 (1 + 0)", r"macro LLAMA4_KV_F16 is undocumented", 0),
    ("#define LLAMA4_KV_F16 1", "#define LLAMA4_KEYS_F16 1", r"stands in the block of LLAMA4_KV_", 0),
    ("/** llama4_vocab_get_size: number", "/** llama4_vocab_get_length: number", r"llama4_vocab_get_length, which is not declared", 0),
    ("typedef int32_t llama4_status;", "typedef int llama4_status;", r"typedef llama4_status: only", 0),
    ("typedef struct llama4_vocab llama4_vocab;", "typedef union llama4_vocab llama4_vocab;", r"union", None),
    ("/** llama4_log_fn: receives one finished line without a newline. */\n", "/** llama4_log_fn: receives one finished line without a newline. */\n\n",
     r"does not stand right above it", 0),
    ("/** llama4_log_fn: receives one finished line without a newline. */", "/** llama4_log_fn: */", r"says nothing about it", 0),
    ("/** llama4_log_fn: receives", "/** receives", r"begins with the name it documents", 0),
    ("(*llama4_log_fn)(void *user, int32_t level", "(*llama4_log_fn)(int32_t level", r"first argument of a callback is void \*user", 0),
    ("typedef int32_t llama4_status;", "typedef int32_t llama4_status;\n/** llama4_log: x. */\ntypedef void (*llama4_log)(void *user);",
     r"names of callbacks end in _fn", 2),
    ("(*llama4_log_fn)(void *user, int32_t level, const char *message)", "(*llama4_log_fn)(void *user, int32_t level, const char *message, ...)",
     r"variadic", 0),
    ("typedef void (*llama4_log_fn)", "typedef struct llama4_error (*llama4_log_fn)", r"by value", 0),
    ("llama4_text_fn on_text, void *user, llama4_generate_result *result,", "llama4_text_fn on_text, llama4_generate_result *result,",
     r"a callback is followed by its void \*user", None),
    ("    void *log_user;\n    llama4_progress_fn progress;  /* (nullable) while opening; not inherited */\n    void *progress_user;\n",
     "    uint64_t a, b; /* . */\n    llama4_progress_fn progress;  /* (nullable) while opening; not inherited */\n", r"a callback is followed by its void \*\.\.\._user", None),
    ("const char *vocabulary_path;  /* (nullable) a tok", "char *vocabulary_path;  /* (nullable) a tok", r"does not hand out memory to write to", 0),
    ("const char *vocabulary_path;  /* (nullable) a tok", "const float *vocabulary_path;  /* (nullable) a tok", r"say \(array length=", 0),
    ("    char format[32]; ", "    llama4_error format[2]; ", r"numbers or chars only", 0),
    ("    char message[256]; ", "    char message[]; ", r"array without a length", 0),
    ("    int32_t threads;         /* in use */", "    volatile int32_t threads; /* in use */", r"volatile", 0),
    (" * @data: (array length=size): not copied", " * @data: not copied", r"points to bytes: say \(array length=", None),
    (" * @bytes: (out) (array length=capacity)", " * @bytes: (out)", r"@bytes is filled: say \(array length=", None),
    (" * @text: (array length=length): UTF-8, need", " * @text: (out) (array length=length): UTF-8, need", r"@text points to const, so it is not \(out\)", None),
    (" * @item: index in that", " * @item: (nullable): index in that", r"@item is no pointer; \(nullable\) means nothing", None),
    (" * @item: index in that", " * @item: (out): index in that", r"@item is no pointer; \(out\)", None),
    (" * @params: (nullable): hooks are used", " * @params: hooks are used", r"NULL stands for all defaults", None),
    (" * @items: (array length=n_items stride=stride)", " * @items: (array length=n_items)", r"@items: arrays of structs are passed with a stride", None),
    ("(array length=n_items stride=stride)", "(array length=error stride=stride)", r"length=error is no whole number", None),
    (" * @logits: (out) (transfer none) (array length=count)", " * @logits: (out) (transfer none)", r"hands out memory: say \(array", None),
    ("llama4_model **model, llama4_error", "llama4_model ***model, llama4_error", r"pointer to a pointer to a pointer", None),
    ("LLAMA4_API uint32_t llama4_version(void);", "LLAMA4_API const llama4_error *llama4_version(void);", r"unknown type|as a result fixes its size", 0),
    ("LLAMA4_API llama4_model *llama4_context_get_model(", "LLAMA4_API llama4_error *llama4_context_get_model(", r"as a result fixes its size", 0),
    ("LLAMA4_API llama4_status llama4_model_params_init(llama4_model_params *params, size_t size)",
     "LLAMA4_API llama4_status llama4_model_params_init(llama4_model_params *params, size_t length)", r"an _init function takes \(params, size\)", 0),
    ("LLAMA4_API void llama4_sampler_release(", "LLAMA4_API void llama4_sampler_drop(", r"llama4_sampler: no llama4_sampler_release", None),
    ("(values): number types", "number types", r"say \(flags\) or \(values\)", 0),
    ("/** LLAMA4_ERROR_INIT: (initializer): what", "/** LLAMA4_ERROR_INIT: what", r"LLAMA4_ERROR_INIT is no integer constant", None),
    (" * @flags: LLAMA4_DETOKENIZE_ values, or 0.\n", " * @flags: LLAMA4_DETOKENIZE_ values, or 0.\n * @flags: again.\n", r"@flags: stands twice", None),
    ("typedef int32_t llama4_status;", "typedef int32_t llama4_status;\nenum {LLAMA4_A};", r"an enum", 1),
    ("typedef int32_t llama4_status;", "typedef int32_t llama4_status;\nunion llama4_u {int32_t a; float b;};", r"a union", 1),
    ("typedef struct llama4_vocab llama4_vocab;", "typedef struct llama4_vocab llama4_vocab", r"expected|unknown|error", None),
]


def tests(t):
    # Without libclang: the hashes.
    t.succeeds("the generated files carry the header's hash", ["python3", GENERATE, "--hashes"])
    other = t.scratch / "hash"
    other.mkdir()
    for name in ("llama4.h", "version.h"):
        shutil.copy(INCLUDE / "llama4" / name, other)
    r = run(["python3", GENERATE, "--hashes", "--header", other])
    t.ok("the hash of a copy is the same", r.returncode == 0, r.stdout)
    (other / "version.h").write_text((other / "version.h").read_text() + "\n")
    r = run(["python3", GENERATE, "--hashes", "--header", other])
    t.ok("the hash of another header is not", r.returncode == 1 and r.stdout.count("version.h") == 2, r.stdout)

    if not t.python:
        for name in ("regeneration", "refusals"):
            t.skip(name, "no Python with libclang: pip install -r bindings/generator/requirements.txt")
        return
    t.succeeds("generating again changes nothing", [t.python, GENERATE, "--check"])
    out = t.scratch / "generated"
    out.mkdir()
    command = [t.python, GENERATE, "--api", out / "api.json", "--python", out / "_ffi.py"]
    # Another folder, another order of hashing, no locale: the same bytes.
    r = run(command, cwd=out, env={"PYTHONHASHSEED": "7", "LC_ALL": "C", "PATH": "/usr/bin:/bin"})
    same = r.returncode == 0 and (out / "api.json").read_bytes() == (ROOT / "bindings/api.json").read_bytes() and \
        (out / "_ffi.py").read_bytes() == (ROOT / "bindings/python/llama4/_ffi.py").read_bytes()
    t.ok("from elsewhere it generates the same bytes", same, r.stderr)
    (out / "api.json").write_text((out / "api.json").read_text() + " ")
    r = run(command + ["--check"])
    t.ok("--check notices a difference", r.returncode == 1 and "api.json" in r.stderr, r.stdout + r.stderr)
    refusals(t)


def refusals(t):
    """One process for all: each broken header is read in turn."""
    header = (INCLUDE / "llama4/llama4.h").read_text()
    folders = []
    for i, (old, new, _, _) in enumerate(REFUSALS):
        folder = t.scratch / f"refuse-{i}"
        folder.mkdir()
        if old not in header:
            t.ok(f"refusal {i}", False, f"llama4.h no longer holds {old!r}: change this test")
        (folder / "llama4.h").write_text(header.replace(old, new, 1))
        shutil.copy(INCLUDE / "llama4/version.h", folder)
        folders.append(folder)
    script = ("import pathlib, sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, sys.argv[1])\n"
              "from generator.comments import Complaints\nfrom generator.header import Header\n"
              "for folder in sys.argv[2:]:\n    c = Complaints()\n    Header(pathlib.Path(folder), c).read()\n"
              "    print('== ' + folder)\n    print('\\n'.join(c.found))\n")
    r = run([t.python, "-c", script, ROOT / "bindings", *folders])
    said = dict(zip(re.findall(r"^== (.*)$", r.stdout, re.M), re.split(r"^== .*$", r.stdout, flags=re.M)[1:]))
    for (old, new, message, line), folder in zip(REFUSALS, folders):
        name = f"refused: {new.strip().splitlines()[-1].strip()[:70]}"
        text = said.get(str(folder), r.stderr).strip()
        where = header[:header.index(old)].count("\n") + 1 + line if line is not None else r"\d+"
        t.ok(name, re.search(rf"^(?:llama4|version)\.h:{where}: .*{message}", text, re.M), f"want {where}: {message}\n{text or 'no complaint'}")
    r = run([t.python, GENERATE, "--check", "--header", folders[0]])
    t.ok("a refused header ends the generator with status 1", r.returncode == 1 and "nothing written" in r.stderr, r.stderr)
