"""The header, through libclang, as one dictionary: what api.json holds. Complaints name the line."""
import hashlib
import pathlib
import re
from typing import Any, Dict, List, Optional

from clang.cindex import (CursorKind, Index, StorageClass, TokenKind,  # type: ignore[import-untyped, unused-ignore]
                          TranslationUnit, TypeKind)

from . import rules
from .comments import Comment, Complaints, Doc, Tag, read_doc, read_field, scan
from .types import FIXED, Refused, Types, spell

HERE = pathlib.Path(__file__).resolve().parent
# Where a layout may differ between the systems of DESIGN's promise; the first one's numbers go into api.json.
TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-pc-windows-msvc", "arm64-apple-macos"]
INCLUDES = {"<stddef.h>", "<stdint.h>", '"version.h"'}
INTEGER = re.compile(r"^\(?(-?(?:0[xX][0-9a-fA-F]+|\d+))(u?)\)?$")


def hashes(include: pathlib.Path) -> Dict[str, str]:
    return {n: hashlib.sha256((include / n).read_bytes().replace(b"\r\n", b"\n")).hexdigest() for n in ("llama4.h", "version.h")}


def version_of(include: pathlib.Path) -> Dict[str, int]:
    found = re.findall(r"^#define LLAMA4_VERSION_(MAJOR|MINOR|PATCH) (\d+)$", (include / "version.h").read_text(), re.M)
    if [name for name, _ in found] != ["MAJOR", "MINOR", "PATCH"]:
        raise SystemExit("version.h: MAJOR, MINOR and PATCH are expected, in this order")
    return {name.lower(): int(value) for name, value in found}


class Header:
    def __init__(self, include: pathlib.Path, complaints: Complaints) -> None:
        self.include = include
        self.path = include / "llama4.h"
        self.source = self.path.read_text(encoding="utf-8")
        self.lines = self.source.split("\n")
        self.complaints = complaints
        self.types = Types()
        self.docs: Dict[str, Doc] = {}
        self.used: Dict[str, bool] = {}
        self.trailing: Dict[int, Comment] = {}
        self.api: Dict[str, Any] = {
            "handles": [], "aliases": [], "callbacks": [], "structs": [], "constants": [], "initializers": [], "functions": []}

    def bad(self, line: int, text: str) -> None:
        self.complaints.add(self.path.name, line, text)

    # ---- comments ----

    def read_comments(self) -> None:
        for comment in scan(self.source):
            if not comment.is_doc:
                if not comment.alone:
                    self.trailing[comment.first] = comment
                continue
            wrong: List[str] = []
            doc = read_doc(comment, wrong)
            for w in wrong:
                self.bad(comment.first, w)
            for name in doc.names if doc else []:
                if name in self.docs:
                    self.bad(comment.first, f"{name} is documented twice")
                self.docs[name] = doc
                self.used[name] = False

    def doc_of(self, name: str, line: int, what: str) -> Doc:
        """The comment above line, which must be this name's."""
        doc = self.docs.get(name)
        if not doc:
            self.bad(line, f"{what} {name} is undocumented: /** {name}: ... */ belongs above it")
            return Doc(Comment(line, line, "", True, True), [name], Tag())
        self.used[name] = True
        if doc.comment.last != line - 1:
            self.bad(doc.comment.first, f"the comment of {name} does not stand right above it (line {line})")
        if not doc.tag.text:
            self.bad(doc.comment.first, f"the comment of {name} says nothing about it")
        return doc

    # ---- declarations ----

    def parse(self, target: str) -> Any:
        args = ["-x", "c", "-std=c99", "-nostdinc", "-target", target, "-I", str(HERE / "include")]
        unit = Index.create().parse(str(self.path), args, options=TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        for d in unit.diagnostics:
            if d.severity >= 3:
                name = pathlib.Path(d.location.file.name).name if d.location.file else self.path.name
                self.complaints.add(name, d.location.line, d.spelling)
        return unit

    def ours(self, cursor: Any) -> bool:
        return bool(cursor.location.file) and pathlib.Path(cursor.location.file.name) == self.path

    def read(self) -> Dict[str, Any]:
        for n, line in enumerate(self.lines, 1):
            m = re.match(r"\s*#\s*include\s*(.*?)\s*(/\*.*)?$", line)
            if m and m.group(1) not in INCLUDES:
                self.bad(n, f"#include {m.group(1)}: the header needs {', '.join(sorted(INCLUDES))} and nothing else")
        self.read_comments()
        units = []
        for target in TARGETS:
            units.append(self.parse(target))
            if self.complaints.found:
                return self.api
        cursors = [c for c in units[0].cursor.get_children() if self.ours(c)]
        self.declare(cursors)
        for c in cursors:
            self.declaration(c)
        self.constants([c for c in cursors if c.kind == CursorKind.MACRO_DEFINITION])
        rules.check_layouts(self, units)
        for name, used in self.used.items():
            if not used:
                self.bad(self.docs[name].comment.first, f"this comment documents {name}, which is not declared below it")
        rules.check_whole(self)
        return self.api

    def declare(self, cursors: List[Any]) -> None:
        for c in cursors:
            if c.kind == CursorKind.STRUCT_DECL:
                self.types.structs[c.spelling] = self.types.structs.get(c.spelling, False) or c.is_definition()
            elif c.kind == CursorKind.TYPEDEF_DECL:
                t = c.underlying_typedef_type
                if t.kind == TypeKind.POINTER and t.get_pointee().get_canonical().kind == TypeKind.FUNCTIONPROTO:
                    self.types.callbacks[c.spelling] = 1
                elif t.spelling in FIXED:
                    self.types.aliases[c.spelling] = {"kind": "scalar", "name": t.spelling}

    def declaration(self, c: Any) -> None:
        line = c.extent.start.line
        if c.kind == CursorKind.FUNCTION_DECL:
            self.function(c, line)
        elif c.kind == CursorKind.STRUCT_DECL:
            if c.is_definition():
                self.struct(c, line)
        elif c.kind == CursorKind.TYPEDEF_DECL:
            self.typedef(c, line)
        elif c.kind == CursorKind.UNION_DECL:
            self.bad(line, "a union: its size would follow its largest member")
        elif c.kind == CursorKind.ENUM_DECL:
            self.bad(line, "an enum: its size is the compiler's choice; use int32_t and #define")
        elif c.kind == CursorKind.VAR_DECL:
            self.bad(line, f"variable {c.spelling}: data never crosses the border, only functions do")
        elif c.kind not in (CursorKind.MACRO_DEFINITION, CursorKind.MACRO_INSTANTIATION, CursorKind.INCLUSION_DIRECTIVE):
            self.bad(line, f"{c.kind.name.lower()} {c.spelling}: no such thing belongs into this header")

    def type(self, t: Any, place: str, line: int, name: str) -> Optional[Dict[str, Any]]:
        try:
            return self.types.read(t, place)
        except Refused as e:
            self.bad(line, f"{name}: {e}")
            return None

    def typedef(self, c: Any, line: int) -> None:
        name, t = c.spelling, c.underlying_typedef_type
        rules.check_name(self, name, line)
        if name in self.types.callbacks:
            self.callback(c, line)
        elif name in self.types.aliases:
            doc = self.doc_of(name, line, "type")
            self.api["aliases"].append({"name": name, "type": self.types.aliases[name], "doc": doc.tag.text})
        elif t.get_canonical().kind == TypeKind.RECORD and t.get_declaration().spelling == name:
            if not self.types.structs.get(name):
                doc = self.doc_of(name, line, "handle")
                self.api["handles"].append({"name": name, "doc": doc.tag.text})
        else:
            self.bad(line, f"typedef {name}: only handles, structs, callbacks and names of fixed-width integers")

    def struct(self, c: Any, line: int) -> None:
        doc = self.doc_of(c.spelling, line, "struct")
        fields = []
        for f in c.get_children():
            at = f.extent.start.line
            if f.kind != CursorKind.FIELD_DECL:
                self.bad(at, f"{c.spelling}: a {f.kind.name.lower()} inside a struct; fields have fixed-width types")
                continue
            name = f"{c.spelling}.{f.spelling}"
            if f.is_bitfield():
                self.bad(at, f"{name}: the order of bit-fields is the compiler's choice; use flags")
                continue
            t = self.type(f.type, "field", at, name)
            wrong: List[str] = []
            comment = self.trailing.get(f.extent.end.line)
            tag = read_field(comment.text, wrong) if comment else Tag()
            for w in wrong:
                self.bad(at, f"{name}: {w}")
            if t:
                entry = {"name": f.spelling, "type": t, "c": spell(t), "offset": c.type.get_offset(f.spelling) // 8,
                         "size": f.type.get_size(), "nullable": tag.nullable or rules.is_user(f.spelling, t),
                         "transfer": tag.transfer, "array": tag.array, "since": tag.since, "doc": tag.text}
                rules.check_field(self, c.spelling, entry, at)
                fields.append(entry)
        self.api["structs"].append({"name": c.spelling, "doc": doc.tag.text, "size": c.type.get_size(),
                                    "alignment": c.type.get_align(), "since": doc.tag.since, "fields": fields})
        rules.check_struct(self, self.api["structs"][-1], line)

    def signature(self, cursors: List[Any], result: Any, doc: Doc, line: int, name: str) -> Dict[str, Any]:
        params = []
        for p in cursors:
            at = p.extent.start.line
            if not p.spelling:
                self.bad(at, f"{name}: a parameter without a name")
            t = self.type(p.type, "parameter", at, f"{name}: {p.spelling}")
            tag = doc.params.pop(p.spelling, Tag())
            if t:
                rules.imply(tag, p.spelling, t)
                params.append({"name": p.spelling, "type": t, "c": spell(t), "direction": tag.direction, "nullable": tag.nullable,
                               "transfer": tag.transfer, "array": tag.array, "doc": tag.text})
        for unknown in doc.params:
            self.bad(doc.comment.first, f"{name}: @{unknown} is no parameter")
        t = self.type(result, "return", line, f"{name}: the result") or {"kind": "void"}
        back = doc.returns or Tag()
        return {"name": name, "doc": doc.tag.text, "since": doc.tag.since, "deprecated": doc.tag.deprecated, "params": params,
                "returns": {"type": t, "c": spell(t), "nullable": back.nullable, "transfer": back.transfer, "doc": back.text}}

    def callback(self, c: Any, line: int) -> None:
        proto = c.underlying_typedef_type.get_pointee().get_canonical()
        doc = self.doc_of(c.spelling, line, "callback")
        if proto.is_function_variadic():
            self.bad(line, f"{c.spelling}: variadic functions cannot be called from other languages")
        # The result as it is written, not as it is defined: int32_t rather than int.
        spelled = c.underlying_typedef_type.get_pointee()
        spelled = spelled.get_named_type() if spelled.kind == TypeKind.ELABORATED else spelled
        params = [p for p in c.get_children() if p.kind == CursorKind.PARM_DECL]
        entry = self.signature(params, spelled.get_result(), doc, line, c.spelling)
        self.api["callbacks"].append(entry)
        rules.check_callback(self, entry, line)

    def function(self, c: Any, line: int) -> None:
        # A macro that expands to nothing is not part of a declaration's extent.
        rules.check_name(self, c.spelling, line)
        if not self.lines[line - 1].startswith("LLAMA4_API "):
            self.bad(line, f"{c.spelling}: the declaration does not begin with LLAMA4_API, on the same line")
        if c.is_definition() or c.storage_class == StorageClass.STATIC:
            self.bad(line, f"{c.spelling}: a function with a body is compiled into its callers and cannot be repaired later")
        doc = self.doc_of(c.spelling, line, "function")
        if c.type.kind == TypeKind.FUNCTIONNOPROTO:
            self.bad(line, f"{c.spelling}: write (void), an empty list is no prototype")
        elif c.type.is_function_variadic():
            self.bad(line, f"{c.spelling}: variadic functions cannot be called from other languages")
        entry = self.signature(list(c.get_arguments()), c.result_type, doc, line, c.spelling)
        self.api["functions"].append(entry)
        rules.check_function(self, entry, line)

    # ---- constants ----

    def constants(self, macros: List[Any]) -> None:
        last, group = -1, None
        for c in sorted(macros, key=lambda c: c.extent.start.line):
            name, line = c.spelling, c.extent.start.line
            if name in ("LLAMA4_API", "LLAMA4_LLAMA4_H"):
                continue
            rules.check_name(self, name, line)
            words = [t.spelling for t in c.get_tokens() if t.kind != TokenKind.COMMENT][1:]
            number = INTEGER.match("".join(words))
            if not number:
                doc = self.doc_of(name, line, "macro")
                if doc.tag.kind == "initializer":
                    self.api["initializers"].append({"name": name, "doc": doc.tag.text})
                else:
                    self.bad(line, f"{name} is no integer constant; other languages cannot use it (initializers are marked so)")
                continue
            if line != last + 1 or group is None:
                group = self.group(name, line)
            last = line
            rules.add_constant(self, group, name, int(number.group(1), 0), number.group(2) == "u", line)

    def group(self, first: str, line: int) -> Dict[str, Any]:
        """The comment above a block of constants names their common beginnings."""
        above = [d for d in self.docs.values() if d.comment.last == line - 1]
        if not above:
            self.bad(line, f"the constants from {first} on are undocumented: /** LLAMA4_...: (flags): or (values): ... */ belongs above")
            return {"names": ["LLAMA4_"], "kind": "values", "doc": "", "values": []}
        doc = above[0]
        for name in doc.names:
            self.used[name] = True
        if doc.tag.kind not in ("flags", "values"):
            self.bad(doc.comment.first, f"{doc.names[0]}: say (flags) or (values)")
        if not doc.tag.text:
            self.bad(doc.comment.first, f"the comment of {doc.names[0]} says nothing about it")
        group = {"names": doc.names, "kind": doc.tag.kind or "values", "doc": doc.tag.text, "values": []}
        self.api["constants"].append(group)
        return group
