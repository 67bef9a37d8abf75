"""Run Meta's Llama 4 models on ordinary CPUs.

    import llama4

    with llama4.Model.open("llama4-tiny.gguf") as model:
        for piece in model.chat("What is 11 + 3?"):
            print(piece, end="", flush=True)

Model, Context, Sampler, Vocab, Detokenizer, Image and Embeddings are the handles of llama4.h, the manual; llama4.Llama speaks as llama-cpp-python's class
does; llama4.plan tells whether a model fits into memory before it is loaded. llama4._ffi is what all of them stand on: every function of the header, through ctypes."""
from __future__ import annotations

from . import _ffi
from ._chat import ToolCall, parse_tool_calls, tools_prompt
from ._context import BATCH_ITEM, Context, ContextInfo
from ._errors import (
    ArgumentError, CancelledError, ContextFullError, Error, FileError, FormatError, MissingFileError, OutOfMemoryError, StateError,
    UnsupportedError)
from ._generation import Answer, Generation, Token
from ._image import Embeddings, Image, ImageInfo, ImageSource, video_frames
from ._llama import Llama
from ._model import MemoryInfo, Model, ModelInfo, TensorInfo, convert
from ._native import library as _library
from ._plan import Plan, plan
from ._sampler import Sampler
from ._vocab import Detokenizer, Vocab

__all__ = [
    "Answer", "ArgumentError", "BATCH_ITEM", "CancelledError", "Context", "ContextFullError", "ContextInfo", "Detokenizer", "Embeddings",
    "Error", "FileError", "FormatError", "Generation", "Image", "ImageInfo", "ImageSource", "Llama", "MemoryInfo", "MissingFileError", "Model", "ModelInfo",
    "OutOfMemoryError", "Plan", "Sampler", "StateError", "TensorInfo", "Token", "ToolCall", "UnsupportedError", "Vocab", "convert",
    "parse_tool_calls", "plan", "tools_prompt", "video_frames",
]

#: Of the package and of the header it was made from. The library's own is library_version.
__version__ = f"{_ffi.LLAMA4_VERSION_MAJOR}.{_ffi.LLAMA4_VERSION_MINOR}.{_ffi.LLAMA4_VERSION_PATCH}"

_running = int(_library.llama4_version())
#: The version of the library that is running
library_version = f"{_running // 1000000}.{_running // 1000 % 1000}.{_running % 1000}"
