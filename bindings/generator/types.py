"""Types of C that may cross the border, as small dictionaries; everything else is refused with the reason."""
from typing import Any, Dict

from clang.cindex import CursorKind, TypeKind  # type: ignore[import-untyped, unused-ignore]

Type = Dict[str, Any]

FIXED = {f"{u}int{bits}_t" for u in ("", "u") for bits in (8, 16, 32, 64)}
LOOSE = {
    TypeKind.BOOL: "a bool has no fixed size: use int32_t",
    TypeKind.ENUM: "an enum has no fixed size: use int32_t and constants",
    TypeKind.RECORD: "structs and unions never cross the border by value: use a pointer",
    TypeKind.LONGDOUBLE: "long double differs between systems: use double",
    TypeKind.INCOMPLETEARRAY: "an array without a length has no place in the ABI",
    TypeKind.FUNCTIONPROTO: "a bare function type: name it by a documented typedef of a function pointer",
    TypeKind.FUNCTIONNOPROTO: "a function type without a prototype",
}


class Refused(Exception):
    pass


class Types:
    """Knows what the header has declared so far."""

    def __init__(self) -> None:
        self.structs: Dict[str, bool] = {}  # name -> has fields
        self.callbacks: Dict[str, int] = {}
        self.aliases: Dict[str, Type] = {}

    def read(self, t: Any, place: str) -> Type:
        """place: field, parameter, return or pointee"""
        if t.is_volatile_qualified() or t.is_restrict_qualified():
            raise Refused("volatile and restrict mean nothing to other languages")
        if t.kind == TypeKind.ELABORATED:
            declared = t.get_declaration()
            if declared.kind == CursorKind.TYPEDEF_DECL:
                return self.typedef(t, declared, place)
            t = t.get_named_type()
        if t.kind == TypeKind.TYPEDEF:
            return self.typedef(t, t.get_declaration(), place)
        if t.kind == TypeKind.FLOAT or t.kind == TypeKind.DOUBLE:
            return {"kind": "scalar", "name": "float" if t.kind == TypeKind.FLOAT else "double"}
        if t.kind == TypeKind.VOID and place in ("return", "pointee"):
            return {"kind": "void"}
        if t.kind in (TypeKind.CHAR_S, TypeKind.CHAR_U) and place == "pointee":
            return {"kind": "char"}
        if t.kind == TypeKind.POINTER:
            return self.pointer(t, place)
        if t.kind == TypeKind.CONSTANTARRAY:
            if place != "field":
                raise Refused("a parameter written as an array is a pointer in disguise: write the pointer and its length")
            of = self.read(t.element_type, "pointee")
            if of["kind"] not in ("scalar", "char"):
                raise Refused("an array inside a struct holds numbers or chars only")
            return {"kind": "array", "length": t.element_count, "of": of}
        if t.kind == TypeKind.RECORD and place == "pointee":
            return self.record(t)
        raise Refused(LOOSE.get(t.kind, f"{t.spelling} is not of fixed width: use int32_t, int64_t or their like"))

    def typedef(self, t: Any, declared: Any, place: str) -> Type:
        name = declared.spelling
        if name in FIXED:
            return {"kind": "scalar", "name": name}
        if name == "size_t":
            if place == "field":
                raise Refused("size_t in a struct is not of fixed width: use uint64_t")
            return {"kind": "scalar", "name": name}
        if name in self.aliases:
            return {"kind": "scalar", "name": name}
        if name in self.callbacks:
            return {"kind": "callback", "name": name}
        canonical = t.get_canonical()
        if canonical.kind == TypeKind.RECORD and place == "pointee":
            return self.record(canonical)
        if canonical.kind in LOOSE:
            raise Refused(LOOSE[canonical.kind])
        raise Refused(f"{name} is not of fixed width, or not declared in this header")

    def record(self, t: Any) -> Type:
        declared = t.get_declaration()
        name = declared.spelling
        if declared.kind != CursorKind.STRUCT_DECL:
            raise Refused("unions never cross the border")
        if name not in self.structs:
            raise Refused(f"struct {name} belongs to somebody else, whose ABI may change")
        return {"kind": "struct" if self.structs[name] else "handle", "name": name}

    def pointer(self, t: Any, place: str) -> Type:
        pointee = t.get_pointee()
        to = self.read(pointee, "pointee")
        if to["kind"] == "pointer" and to["to"]["kind"] == "pointer":
            raise Refused("a pointer to a pointer to a pointer")
        if to["kind"] == "callback":
            raise Refused("a pointer to a function pointer")
        if place == "return" and to["kind"] == "struct":
            raise Refused("a pointer to a struct as a result fixes its size for ever: fill the caller's struct instead")
        return {"kind": "pointer", "const": pointee.is_const_qualified(), "to": to}


def spell(t: Type) -> str:
    """The type as C writes it, without a name."""
    if t["kind"] == "pointer":
        inner = spell(t["to"])
        if t["to"]["kind"] == "pointer":
            return inner + ("const *" if t["const"] else "*")
        return ("const " if t["const"] else "") + inner + " *"
    if t["kind"] == "array":
        return f"{spell(t['of'])}[{t['length']}]"
    return t["name"] if "name" in t else t["kind"]
