"""The rules of the ABI: what a declaration must look like so that it can be kept, and be called from anywhere."""
import re
from typing import TYPE_CHECKING, Any, Dict, List

from clang.cindex import CursorKind  # type: ignore[import-untyped, unused-ignore]

from .comments import Tag

if TYPE_CHECKING:
    from .header import Header

Entry = Dict[str, Any]


def is_user(name: str, t: Entry) -> bool:
    """What a callback is handed back: the library never looks behind it."""
    return (name == "user" or name.endswith("_user")) and t["kind"] == "pointer" and t["to"]["kind"] == "void"


def is_error(name: str, t: Entry) -> bool:
    return name == "error" and t["kind"] == "pointer" and t["to"].get("name") == "llama4_error"


def imply(tag: Tag, name: str, t: Entry) -> None:
    """What the convention says once for all functions."""
    if is_error(name, t):
        tag.direction, tag.nullable = "out", True
        tag.text = tag.text or "filled on failure"
    elif is_user(name, t):
        tag.nullable = True
    elif tag.array and tag.array["length"] == "capacity":
        tag.nullable = True
    if t["kind"] == "pointer" and t["to"]["kind"] == "handle" and tag.transfer is None:
        tag.transfer = "none"


def check_name(h: "Header", name: str, line: int) -> None:
    if not re.match(r"llama4_[a-z0-9_]+$|LLAMA4_[A-Z0-9_]+$", name):
        h.bad(line, f"{name}: names begin with llama4_ or LLAMA4_")


def check_integer(h: "Header", owner: str, line: int, where: str, entries: List[Entry], name: str) -> None:
    """A length or stride must be a neighbour, and a whole number (or a pointer to one that is written)."""
    for e in entries:
        if e["name"] == name:
            t = e["type"]
            if t["kind"] == "pointer" and e.get("direction") == "out":
                t = t["to"]
            if t["kind"] != "scalar" or t["name"] in ("float", "double"):
                h.bad(line, f"{owner}: {where}={name} is no whole number")
            return
    h.bad(line, f"{owner}: {where}={name}: there is no {name}")


# ---- structs ----

def check_field(h: "Header", struct: str, f: Entry, line: int) -> None:
    name, t = f"{struct}.{f['name']}", f["type"]
    if t["kind"] == "callback" and not f["nullable"]:
        h.bad(line, f"{name}: zero means the default, so a callback in a struct is (nullable)")
    if t["kind"] == "pointer" and not t["const"] and t["to"]["kind"] not in ("handle", "void"):
        h.bad(line, f"{name}: a struct does not hand out memory to write to")
    if t["kind"] == "pointer" and t["to"]["kind"] == "scalar" and not f["array"]:
        h.bad(line, f"{name}: say (array length=...) or pass it by value")
    if t["kind"] == "pointer" and t["to"]["kind"] == "struct" and not (f["array"] and "stride" in f["array"]):
        h.bad(line, f"{name}: arrays of structs are passed with a stride: (array length=... stride=...)")
    if not f["doc"] and f["name"] != "reserved" and not is_user(f["name"], t):
        if not (f["nullable"] or f["array"]):
            h.bad(line, f"{name} is undocumented: a comment belongs behind it")


def check_struct(h: "Header", s: Entry, line: int) -> None:
    if not s["fields"]:
        h.bad(line, f"{s['name']}: a struct without fields")
    names = [f["name"] for f in s["fields"]]
    for i, f in enumerate(s["fields"]):
        for where in ("length", "stride"):
            if f["array"] and where in f["array"]:
                check_integer(h, f"{s['name']}.{f['name']}", line, where, s["fields"], f["array"][where])
        if f["type"]["kind"] == "callback":
            rest = s["fields"][i + 1:]
            users = [g for g in rest if is_user(g["name"], g["type"])]
            if not users:
                h.bad(line, f"{s['name']}.{f['name']}: a callback is followed by its void *..._user")
    if "struct_size" in names and names[0] != "struct_size":
        h.bad(line, f"{s['name']}: struct_size comes first")
    if "struct_size" in names and s["fields"][0]["type"].get("name") != "uint32_t":
        h.bad(line, f"{s['name']}: struct_size is a uint32_t")


def check_layouts(h: "Header", units: List[Any]) -> None:
    """No hole that the compiler fills, and the same offsets on every 64-bit system."""
    seen: Dict[str, List[int]] = {}
    for unit in units:
        for c in unit.cursor.get_children():
            if c.kind != CursorKind.STRUCT_DECL or not c.is_definition() or not h.ours(c):
                continue
            end, numbers = 0, []
            for f in c.type.get_fields():
                if f.is_bitfield():
                    continue
                offset = c.type.get_offset(f.spelling) // 8
                if offset != end and unit is units[0]:
                    h.bad(f.extent.start.line, f"{c.spelling}: {offset - end} bytes of implicit padding before {f.spelling}; "
                          "reorder, or add a reserved field")
                end = offset + f.type.get_size()
                numbers.append(offset)
            numbers.append(c.type.get_size())
            if c.type.get_size() != end and unit is units[0]:
                h.bad(c.extent.start.line, f"{c.spelling}: {c.type.get_size() - end} bytes of implicit padding at its end; "
                      "add a reserved field")
            if seen.setdefault(c.spelling, numbers) != numbers:
                h.bad(c.extent.start.line, f"{c.spelling}: its layout differs between {units[0].spelling} and another system")


# ---- functions and callbacks ----

def check_pointer(h: "Header", owner: str, p: Entry, line: int) -> None:
    """Who writes behind a pointer, how much, and who owns it."""
    name, t = f"{owner}: @{p['name']}", p["type"]
    if t["kind"] != "pointer":
        if p["direction"] != "in" or p["array"] or p["transfer"]:
            h.bad(line, f"{name} is no pointer; (out), (array) and (transfer) mean nothing")
        if p["nullable"] and t["kind"] != "callback":
            h.bad(line, f"{name} is no pointer; (nullable) means nothing")
        return
    to, out = t["to"], p["direction"] != "in"
    if is_user(p["name"], t) or (is_error(p["name"], t)):
        return
    if t["const"] and out:
        h.bad(line, f"{name} points to const, so it is not (out)")
    if not t["const"] and not out and to["kind"] not in ("handle",) and not (to["kind"] == "void" and p["transfer"]):
        h.bad(line, f"{name} can be written to: say (out) or (inout), or make it const")
    if to["kind"] == "pointer":
        if out and not p["transfer"]:
            h.bad(line, f"{name} hands out a pointer: say (transfer full) or (transfer none)")
        if to["to"]["kind"] in ("char", "scalar", "void") and not p["array"]:
            h.bad(line, f"{name} hands out memory: say (array length=...)")
        return
    if to["kind"] == "scalar" and t["const"] and not p["array"]:
        h.bad(line, f"{name} points to numbers: say (array length=...)")
    if to["kind"] == "void" and not p["array"] and not p["transfer"]:
        h.bad(line, f"{name} points to bytes: say (array length=...)")
    if to["kind"] == "char" and out and not p["array"]:
        h.bad(line, f"{name} is filled: say (array length=...)")
    if to["kind"] == "struct" and t["const"]:
        if to["name"].endswith("_params"):
            if not p["nullable"]:
                h.bad(line, f"{name}: NULL stands for all defaults: say (nullable)")
        elif not p["array"] or "stride" not in p["array"]:
            h.bad(line, f"{name}: arrays of structs are passed with a stride: say (array length=... stride=...)")


def check_signature(h: "Header", f: Entry, line: int) -> None:
    for p in f["params"]:
        check_pointer(h, f["name"], p, line)
        for where in ("length", "stride"):
            if p["array"] and where in p["array"]:
                check_integer(h, f"{f['name']}: @{p['name']}", line, where, f["params"], p["array"][where])
    back = f["returns"]
    if back["type"]["kind"] == "pointer" and not back["transfer"]:
        h.bad(line, f"{f['name']}: who owns the result? Returns: (transfer full) or (transfer none)")
    if back["type"]["kind"] == "callback":
        h.bad(line, f"{f['name']}: a function pointer as a result")


def check_function(h: "Header", f: Entry, line: int) -> None:
    check_signature(h, f, line)
    name, params = f["name"], f["params"]
    errors = [i for i, p in enumerate(params) if is_error(p["name"], p["type"])]
    is_status = f["returns"]["type"].get("name") == "llama4_status"
    is_init = name.endswith("_init")
    if is_status and not is_init and errors != [len(params) - 1]:
        h.bad(line, f"{name}: a call that can fail takes llama4_error *error as its last argument")
    if errors and not is_status:
        h.bad(line, f"{name}: takes an error, so it returns llama4_status")
    if is_init and [p["name"] for p in params] != ["params", "size"]:
        h.bad(line, f"{name}: an _init function takes (params, size)")
    if name.endswith("_release"):
        if len(params) != 1 or not params[0]["nullable"] or params[0]["transfer"] != "full" or is_status:
            h.bad(line, f"{name}: takes one handle, (nullable) (transfer full), and cannot fail")
    for i, p in enumerate(params):
        if p["type"]["kind"] == "callback":
            after = params[i + 1] if i + 1 < len(params) else None
            if not after or not is_user(after["name"], after["type"]):
                h.bad(line, f"{name}: a callback is followed by its void *user")


def check_callback(h: "Header", f: Entry, line: int) -> None:
    check_signature(h, f, line)
    if not f["name"].endswith("_fn"):
        h.bad(line, f"{f['name']}: names of callbacks end in _fn")
    if not f["params"] or not is_user(f["params"][0]["name"], f["params"][0]["type"]):
        h.bad(line, f"{f['name']}: the first argument of a callback is void *user")


# ---- constants ----

def add_constant(h: "Header", group: Entry, name: str, value: int, is_unsigned: bool, line: int) -> None:
    if not any(name == n or (n.endswith("_") and name.startswith(n)) for n in group["names"]):
        h.bad(line, f"{name} stands in the block of {', '.join(group['names'])}")
    flags = group["kind"] == "flags"
    if flags != is_unsigned:
        h.bad(line, f"{name}: (flags) are written with u, (values) without")
    if flags and value & (value - 1):
        h.bad(line, f"{name}: a flag is one bit, or 0")
    if not (0 <= value < 2**32 if flags else -2**31 <= value < 2**31):
        h.bad(line, f"{name} does not fit into 32 bits")
    if any(v["value"] == value for v in group["values"]):
        h.bad(line, f"{name}: another one of this block has the same value")
    comment = h.trailing.get(line)
    group["values"].append({"name": name, "value": value, "type": "uint32_t" if flags else "int32_t",
                            "doc": " ".join(comment.text.split()) if comment else ""})


# ---- everything together ----

def check_whole(h: "Header") -> None:
    functions = {f["name"]: f for f in h.api["functions"]}
    for handle in h.api["handles"]:
        if handle["name"] + "_release" not in functions:
            h.bad(1, f"{handle['name']}: no {handle['name']}_release gives it back")
        handle["release"] = handle["name"] + "_release"
        handle["ref"] = handle["name"] + "_ref" if handle["name"] + "_ref" in functions else None
    for s in h.api["structs"]:
        if s["fields"] and s["fields"][0]["name"] == "struct_size":
            continue
        # Only a struct that always comes with a stride tells its size by other means.
        for f in h.api["functions"] + h.api["callbacks"]:
            for p in f["params"]:
                t = p["type"]
                if t["kind"] == "pointer" and t["to"].get("name") == s["name"] and "stride" not in (p["array"] or {}):
                    h.bad(1, f"{s['name']}: {f['name']} takes it, so it begins with uint32_t struct_size")
        for other in h.api["structs"]:
            for e in other["fields"]:
                if e["type"]["kind"] == "pointer" and e["type"]["to"].get("name") == s["name"] and "stride" not in (e["array"] or {}):
                    h.bad(1, f"{s['name']}: {other['name']} points to it, so it begins with uint32_t struct_size")
