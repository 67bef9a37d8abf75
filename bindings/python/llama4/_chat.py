"""Messages of a conversation, as C wants them; and function calls, as models write them."""
from __future__ import annotations

import ast
import ctypes
import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from . import _errors
from . import _ffi as ffi
from ._image import Image, Picture, as_picture
from ._native import encode

__all__ = ["Messages", "ToolCall", "message_array", "parse_tool_calls", "tools_prompt", "with_tools"]

Messages = Union[str, Sequence[Mapping[str, Any]]]


class ToolCall(NamedTuple):
    """A function that the model asks for."""

    name: str
    arguments: Dict[str, Any]

    def as_message(self, id: str = "call_0") -> Dict[str, Any]:
        """For the "tool_calls" of an assistant's message, in OpenAI's form."""
        return {"id": id, "type": "function", "function": {"name": self.name, "arguments": json.dumps(self.arguments)}}


def _content(message: Mapping[str, Any], place: str) -> Union[bytes, List[Union[bytes, Picture]], None]:
    """A text, or texts and pictures in their order; None: there is none."""
    content = message.get("content")
    if content is None:
        return None
    if isinstance(content, (list, tuple)):
        parts = [_part(part, place) for part in content]
        texts = [part for part in parts if isinstance(part, bytes)]
        return parts if len(texts) < len(parts) else b"".join(texts)
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        raise TypeError(f"{place}: content must be text or a list of parts, not {type(content).__name__}")
    return content.encode("utf-8")


def _part(part: Any, place: str) -> Union[bytes, Picture]:
    if isinstance(part, str):
        return part.encode("utf-8")
    if isinstance(part, Mapping) and part.get("type") == "text":
        return str(part["text"]).encode("utf-8")
    picture = as_picture(part, place)
    if picture is None:
        kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
        raise _errors.unsupported(f"{place}: content of type {kind!r} is not supported: there are text, image, image_url and frame")
    return picture


def _part_array(parts: Sequence[Union[bytes, Picture]], keep: List[Any]) -> Any:
    array = (ffi.llama4_part * len(parts))()
    for p, part in zip(array, parts):
        p.struct_size = ctypes.sizeof(ffi.llama4_part)
        if isinstance(part, bytes):
            keep.append(part)
            p.text, p.text_length = part, len(part)
            continue
        handle = part.what._get()
        keep.append(handle)
        if isinstance(part.what, Image):
            p.image = handle.pointer
        else:
            p.embeddings = handle.pointer
        if part.seconds is not None:
            p.flags, p.seconds = ffi.LLAMA4_PART_FRAME, part.seconds
    return array


def _tool_calls(message: Mapping[str, Any], place: str, keep: List[Any]) -> Any:
    calls = message.get("tool_calls") or ()
    array = (ffi.llama4_tool_call * len(calls))()
    for c, call in zip(array, calls):
        if isinstance(call, ToolCall):
            call = {"name": call.name, "arguments": call.arguments}
        function = call.get("function", call)
        arguments = function.get("arguments", function.get("parameters", {}))
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        texts = encode(function["name"], f"{place}: the name of a tool"), encode(arguments, f"{place}: arguments")
        keep.extend(texts)
        c.struct_size = ctypes.sizeof(ffi.llama4_tool_call)
        c.name, c.arguments = texts
    return array


#: "name" and "tool_call_id" have no place in the format of Llama 4, where results follow their calls in order.
_KNOWN = {"role", "content", "tool_calls", "end", "name", "tool_call_id"}


def message_array(messages: Messages) -> Tuple[Any, List[Any], List[Picture]]:
    """A llama4_message[], what it points to, and the pictures in it."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    array = (ffi.llama4_message * len(messages))()
    keep: List[Any] = []
    pictures: List[Picture] = []
    for i, (m, message) in enumerate(zip(array, messages)):
        place = f"message {i}"
        for key, value in message.items():
            if key not in _KNOWN and value:
                raise _errors.unsupported(f"{place}: {key!r} is not supported")
        m.struct_size = ctypes.sizeof(ffi.llama4_message)
        if message.get("end", "eot") not in ("eot", "eom"):
            raise _errors.argument(f"{place}: end must be 'eot' or 'eom', not {message['end']!r}")
        m.flags = ffi.LLAMA4_MESSAGE_EOM if message.get("end") == "eom" else 0
        role = message.get("role")
        if not isinstance(role, str):
            raise _errors.argument(f"{place} has no role")
        keep.append(encode(role, f"{place}: role"))
        m.role = keep[-1]
        content = _content(message, place)
        if isinstance(content, list):
            pictures += [part for part in content if isinstance(part, Picture)]
            parts = _part_array(content, keep)
            m.parts, m.n_parts, m.part_stride = parts, len(parts), ctypes.sizeof(ffi.llama4_part)
        elif content is not None:
            keep.append(content)
            m.content, m.content_length = content, len(content)
        calls = _tool_calls(message, place, keep)
        if len(calls):
            m.tool_calls, m.n_tool_calls = calls, len(calls)
            m.tool_call_stride = ctypes.sizeof(ffi.llama4_tool_call)
    return array, keep, pictures


# ---- Functions that a model may call ----


def tools_prompt(tools: Sequence[Mapping[str, Any]]) -> str:
    """A system message that offers functions, given as in OpenAI's form, and asks for calls in JSON."""
    functions = [tool.get("function", tool) for tool in tools]
    signatures = [f"{f['name']}({', '.join((f.get('parameters') or {}).get('properties') or ())})" for f in functions]
    offered = ", ".join(signatures[:-1]) + " and " + signatures[-1] if len(signatures) > 1 else signatures[0]
    text = f"You can call {offered}. Answer a question they serve with one JSON call."
    if any(f.get("description") or _described(f) for f in functions):
        text += (' A call is written {"type": "function", "name": NAME, "parameters": {NAME: VALUE}} and nothing else. '
                 "The functions:\n" + "\n".join(json.dumps(f, ensure_ascii=False) for f in functions))
    return text


def with_tools(messages: Messages, tools: Optional[Sequence[Mapping[str, Any]]]) -> Messages:
    """Messages whose system message offers functions."""
    if not tools:
        return messages
    prompt = tools_prompt(tools)
    rest: List[Mapping[str, Any]] = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    if rest and rest[0].get("role") == "system" and isinstance(rest[0].get("content"), str):
        return [dict(rest[0], content=rest[0]["content"] + "\n\n" + prompt)] + rest[1:]
    return [{"role": "system", "content": prompt}] + rest


def _described(function: Mapping[str, Any]) -> bool:
    """Does it say more of its parameters than their names?"""
    properties = (function.get("parameters") or {}).get("properties") or {}
    return any(set(p) - {"type"} or p.get("type", "string") != "string" for p in properties.values())


def parse_tool_calls(text: str) -> List[ToolCall]:
    """The function calls that an answer consists of; [] if it is an ordinary text.

    All forms that Llama 4 is known to write: JSON objects {"name": ..., "parameters": {...}} (one, several in a row or in a list),
    lists [f(x=1), g(y="a")] as in Python, with constants only, and <function=f>{...}</function>.
    """
    text = text.strip()
    for start, end in (("<|python_start|>", "<|python_end|>"),):
        if text.startswith(start):
            text = text[len(start):].replace(end, "").strip()
    tags = re.fullmatch(r"(?:<function=[^<>\s]+>.*?</function>\s*)+", text, re.DOTALL)
    try:
        if tags:
            return [ToolCall(name, _arguments(json.loads(body)))
                    for name, body in re.findall(r"<function=([^<>\s]+)>(.*?)</function>", text, re.DOTALL)]
        if text.startswith("{") or re.match(r"\[\s*\{", text):
            return _json_calls(text)
        if text.startswith("["):
            return _python_calls(text)
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        pass
    return []


def _arguments(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("arguments are no object")
    return value


def _json_calls(text: str) -> List[ToolCall]:
    decoder, calls, at = json.JSONDecoder(), [], 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        for call in value if isinstance(value, list) else [value]:
            function = call["function"] if isinstance(call.get("function"), dict) else call
            if not isinstance(function["name"], str):
                raise ValueError("a name is no string")
            arguments = function["parameters"] if "parameters" in function else function.get("arguments", {})
            calls.append(ToolCall(function["name"], _arguments(json.loads(arguments) if isinstance(arguments, str) else arguments)))
        while at < len(text) and text[at] in " \t\r\n;,":
            at += 1
    return calls


def _python_calls(text: str) -> List[ToolCall]:
    tree = ast.parse(text, mode="eval").body
    if not isinstance(tree, ast.List):
        raise ValueError("no list")
    calls = []
    for call in tree.elts:
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError("no call with keyword arguments")
        calls.append(ToolCall(ast.unparse(call.func), {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}))
    return calls
