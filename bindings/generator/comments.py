"""Comments of the header, and the annotations in them."""
import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Union


class Complaints:
    """Everything wrong with the header, each with its line."""

    def __init__(self) -> None:
        self.found: List[str] = []

    def add(self, file: str, line: int, text: str) -> None:
        self.found.append(f"{file}:{line}: {text}")


@dataclass
class Comment:
    first: int   # line it starts on
    last: int    # line it ends on
    text: str    # without the stars
    is_doc: bool  # it starts with two stars
    alone: bool  # nothing stands before it on its first line


@dataclass
class Tag:
    """What a comment says about one parameter, field, return value or declaration."""
    text: str = ""
    nullable: bool = False
    direction: str = "in"
    transfer: Optional[str] = None
    array: Optional[Dict[str, str]] = None
    since: Optional[str] = None
    deprecated: Optional[str] = None
    kind: Optional[str] = None  # flags, values, initializer


@dataclass
class Doc:
    comment: Comment
    names: List[str]
    tag: Tag
    params: Dict[str, Tag] = field(default_factory=dict)
    returns: Optional[Tag] = None


def strip_stars(raw: str) -> str:
    body = raw[2:-2].lstrip("*")
    lines = [re.sub(r"^\s*\* ?", "", line) if i else line for i, line in enumerate(body.split("\n"))]
    return "\n".join(line.strip() for line in lines).strip()


def flow(text: str) -> str:
    """Lines joined; empty lines part paragraphs."""
    return "\n\n".join(" ".join(p.split()) for p in re.split(r"\n\s*\n", text)).strip()


def scan(source: str) -> List[Comment]:
    comments = []
    for m in re.finditer(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/', source, re.S):
        raw = m.group(0)
        if raw[0] == '"':
            continue
        first = source.count("\n", 0, m.start()) + 1
        before = source[source.rfind("\n", 0, m.start()) + 1:m.start()]
        is_doc = raw.startswith("/**") and not raw.startswith("/***") and raw != "/**/"
        comments.append(Comment(first, first + raw.count("\n"), strip_stars(raw), is_doc, not before.strip()))
    return comments


ANNOTATION = re.compile(r"\s*\(([^()]*)\)")


def annotate(tag: Tag, words: str) -> Optional[str]:
    """Enters one annotation into a tag; returns what is wrong with it."""
    name, _, rest = words.strip().partition(" ")
    values = rest.split()
    if name == "nullable" and not values:
        tag.nullable = True
    elif name in ("out", "inout") and not values:
        tag.direction = name
    elif name == "transfer" and values in (["full"], ["none"]):
        tag.transfer = values[0]
    elif name == "array":
        tag.array = dict(v.partition("=")[::2] for v in values)
        if set(tag.array) - {"length", "stride"} or "length" not in tag.array or not all(tag.array.values()):
            return "array needs length=NAME, and takes stride=NAME"
    elif name in ("flags", "values", "initializer") and not values:
        tag.kind = name
    elif name in ("since", "deprecated") and len(values) == 1 and re.fullmatch(r"\d+\.\d+", values[0]):
        setattr(tag, name, values[0])
    else:
        return f"unknown annotation ({words})"
    return None


def read_tag(text: str, wrong: List[str]) -> Tag:
    """(annotation) (annotation): text"""
    tag = Tag()
    at = 0
    while True:
        m = ANNOTATION.match(text, at)
        if not m:
            break
        problem = annotate(tag, m.group(1))
        if problem:
            wrong.append(problem)
        at = m.end()
    tag.text = flow(re.sub(r"^\s*[:.]\s*", "", text[at:]) if at else text)
    return tag


def read_field(text: str, wrong: List[str]) -> Tag:
    """A trailing comment: annotations first, or none. A bracket that is no annotation is just text."""
    if re.match(r"\((nullable|transfer|array|out|inout|since|deprecated)\b", text):
        return read_tag(text, wrong)
    return Tag(text=flow(text))


def read_doc(comment: Comment, wrong: List[str]) -> Union[Doc, None]:
    """/** name: (annotation): text @param: (annotation): text Returns: (annotation): text"""
    head = re.match(r"(\w+(?:, \w+)*):", comment.text)
    if not head:
        wrong.append("a comment that starts with two stars begins with the name it documents and a colon")
        return None
    parts = re.split(r"(@\w+|(?<![\w@])Returns):", comment.text[head.end():])
    doc = Doc(comment, head.group(1).split(", "), read_tag(parts[0], wrong))
    for name, text in zip(parts[1::2], parts[2::2]):
        tag = read_tag(text, wrong)
        if name == "Returns":
            if doc.returns:
                wrong.append("Returns: stands twice")
            doc.returns = tag
        elif name[1:] in doc.params:
            wrong.append(f"{name}: stands twice")
        else:
            doc.params[name[1:]] = tag
    return doc
