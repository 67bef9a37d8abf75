"""Pictures: where they come from, and what a model makes of them."""
from __future__ import annotations

import base64
import binascii
import ctypes
import itertools
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Protocol, Sequence, Tuple, Union

import numpy as np

from . import _errors
from . import _ffi as ffi
from ._native import Handle, Owner, Record, int32, library, new_error, number, path_bytes, raise_if, row_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._model import Model

__all__ = ["Embeddings", "Image", "ImageInfo", "ImageSource", "PILImage", "Picture", "as_picture", "is_source", "video_frames"]


class PILImage(Protocol):
    """What is needed of a PIL.Image.Image; Pillow need not be installed."""

    @property
    def mode(self) -> str: ...

    @property
    def size(self) -> Tuple[int, int]: ...

    def convert(self, mode: str) -> Any: ...

    def tobytes(self) -> bytes: ...


ImageSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, "NDArray[Any]", PILImage, "Image"]

#: A number that no other embeddings have, and the rows
Rows = Tuple[int, "NDArray[np.float32]"]

_serial = itertools.count(1)


class ImageInfo(Record):
    """How a model sees a picture: the fields of llama4_image_info: width, height, columns, rows, tiles, embeddings, tokens."""


def _params(max_tiles: int, max_pixels: int, max_bytes: int, upright: bool) -> Any:
    return ctypes.byref(ffi.llama4_image_params(
        struct_size=ctypes.sizeof(ffi.llama4_image_params), flags=0 if upright else ffi.LLAMA4_IMAGE_AS_STORED,
        max_pixels=number(max_pixels, "max_pixels", 0, 1 << 62), max_bytes=number(max_bytes, "max_bytes", 0, 1 << 62),
        max_tiles=int32(max_tiles, "max_tiles")))


class Image(Owner):
    """A picture, ready to be shown. Immutable: any number of threads, messages and models may use it at once.

        image = llama4.Image("cat.jpg")
        model.chat([{"role": "user", "content": [image, "What is this?"]}])

    A message takes the source itself just as well; but an Image that several calls show to a model becomes embeddings only once."""

    def __init__(self, source: ImageSource, *, max_tiles: int = 0, max_pixels: int = 0, max_bytes: int = 0, upright: bool = True) -> None:
        """source: the path of a PNG or JPEG file; the bytes of one; an image of Pillow's; or a numpy array of type uint8 and shape
            (height, width), (height, width, 1), (height, width, 3) or (height, width, 4): grey, RGB or RGBA, which lies over white
        max_tiles: tiles to cut it into at most, besides the one that shows the whole; 0: as the model has it, 16 for Meta's
        max_pixels, max_bytes: what has more is refused; 0: 134217728 pixels and 268435456 bytes
        upright: turn a picture as its Exif orientation says; the reference takes no notice of it
        """
        params, out, error = _params(max_tiles, max_pixels, max_bytes, upright), ctypes.POINTER(ffi.llama4_image)(), new_error()
        rest = params, ctypes.byref(out), ctypes.byref(error)
        path: Any = None
        self._rows: Optional[Tuple[weakref.ref[Handle], Rows]] = None  # what the last model made of it
        self._single, self._tiles = max_tiles == 1, 0
        if isinstance(source, Image):
            raise TypeError("that is an Image already")
        if isinstance(source, (str, os.PathLike)):
            path = source
            status = library.llama4_image_open(path_bytes(path), *rest)
        elif isinstance(source, (bytes, bytearray, memoryview)):
            data = np.frombuffer(source, np.uint8)
            status = library.llama4_image_open_memory(data.__array_interface__["data"][0] if data.size else None, data.size, *rest)
        else:
            pixels, channels = _pixels(source, upright)
            height, width = pixels.shape[:2]
            status = library.llama4_image_create(pixels.__array_interface__["data"][0], pixels.size, width, height, 0, channels, *rest)
        raise_if(status, error, path)
        self._handle = Handle(out, library.llama4_image_release)

    @classmethod
    def from_tiles(cls, tiles: NDArray[Any], columns: int, rows: int) -> Image:
        """A picture that was cut up and normalised elsewhere.

        tiles: float32 of shape (n, 3, side, side), row after row of the grid; if there are several, the whole picture behind them
        """
        array = np.ascontiguousarray(tiles, np.float32)
        if array.ndim != 4 or array.shape[1] != 3 or array.shape[2] != array.shape[3]:
            raise _errors.argument(f"tiles have the shape {array.shape}, not (n, 3, side, side)")
        out, error = ctypes.POINTER(ffi.llama4_image)(), new_error()
        raise_if(library.llama4_image_create_tiles(
            ctypes.cast(array.__array_interface__["data"][0], ctypes.POINTER(ctypes.c_float)), array.size, int32(columns, "columns"),
            int32(rows, "rows"), array.shape[2], None, ctypes.byref(out), ctypes.byref(error)), error)
        image = cls.__new__(cls)
        image._rows, image._single, image._tiles = None, columns * rows == 1, array.shape[0]
        image._handle = Handle(out, library.llama4_image_release)
        return image

    def info(self, model: Optional[Model] = None) -> ImageInfo:
        """Its size, and the tiles that a model sees; without a model Meta's, of 336 x 336 pixels and 144 embeddings."""
        info, error = ffi.llama4_image_info(struct_size=ctypes.sizeof(ffi.llama4_image_info)), new_error()
        raise_if(library.llama4_image_get_info(self._get().pointer, model._get().pointer if model else None, ctypes.byref(info),
                                               ctypes.byref(error)), error)
        return ImageInfo(info)

    def close(self) -> None:
        """Let go of it, and of its embeddings."""
        super().close()
        self._rows = None

    def __repr__(self) -> str:
        if self.closed:
            return "<llama4.Image, closed>"
        if self._tiles:
            return f"<llama4.Image of {self._tiles} tiles>"
        info = self.info()
        return f"<llama4.Image of {info.width} x {info.height} pixels>"


class Embeddings(Owner):
    """What a model makes of a picture, made by Context.encode: rows of numbers that stand in a prompt like tokens. Immutable; any context of
    the model may use them any number of times."""

    def __init__(self, model: Model, numbers: NDArray[Any], *, columns: int = 1, rows: int = 1) -> None:
        """Embeddings from elsewhere, copied.

        numbers: float32 of shape (n, model.info.embedding_length): tile after tile, row after row of the grid; if there are several, those of
            the whole picture behind them. All tiles have the same number of them
        columns, rows: of the grid
        """
        array, owner = np.ascontiguousarray(numbers, np.float32), model._get()
        out, error = ctypes.POINTER(ffi.llama4_embeddings)(), new_error()
        raise_if(library.llama4_embeddings_create(
            owner.pointer, ctypes.cast(array.__array_interface__["data"][0], ctypes.POINTER(ctypes.c_float)), array.size,
            int32(columns, "columns"), int32(rows, "rows"), ctypes.byref(out), ctypes.byref(error)), error)
        self._take(Handle(out, library.llama4_embeddings_release, owner), model.info.embedding_length)

    def _take(self, handle: Handle, width: int) -> None:
        self._handle, self._width, self._key = handle, width, next(_serial)

    @classmethod
    def _made(cls, handle: Handle, width: int) -> Embeddings:
        made = cls.__new__(cls)
        made._take(handle, width)
        return made

    @property
    def numbers(self) -> NDArray[np.float32]:
        """The rows: a view of the library's memory, read-only, which lives as long as the view."""
        handle, rows, count, error = self._get(), ctypes.POINTER(ctypes.c_float)(), ctypes.c_size_t(), new_error()
        raise_if(library.llama4_embeddings_data(handle.pointer, ctypes.byref(rows), ctypes.byref(count), ctypes.byref(error)), error)
        block = row_type(count.value).from_address(ctypes.addressof(rows.contents))
        block.lease = handle
        view: NDArray[np.float32] = np.frombuffer(memoryview(block).toreadonly(), np.float32).reshape(-1, self._width)
        return view

    @property
    def info(self) -> ImageInfo:
        """Its grid, and how many tokens it takes in a prompt; width and height are 0."""
        info, error = ffi.llama4_image_info(struct_size=ctypes.sizeof(ffi.llama4_image_info)), new_error()
        raise_if(library.llama4_embeddings_get_info(self._get().pointer, ctypes.byref(info), ctypes.byref(error)), error)
        return ImageInfo(info)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self.info.embeddings)

    def __repr__(self) -> str:
        return "<llama4.Embeddings, closed>" if self.closed else f"<llama4.Embeddings: {len(self)} rows>"


# ---- Pixels ----


def _pixels(source: Any, upright: bool) -> Tuple[NDArray[np.uint8], int]:
    """8 bits a channel, row after row, and how many channels."""
    array = source if isinstance(source, np.ndarray) else _from_pillow(source, upright)
    if array.dtype != np.uint8:
        raise TypeError(f"pixels are {array.dtype}, not uint8: scale them to 0 .. 255 first")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise _errors.argument(f"pixels have the shape {array.shape}, not (height, width) or (height, width, 1, 3 or 4)")
    return np.ascontiguousarray(array), channels


def _from_pillow(image: Any, upright: bool) -> NDArray[Any]:
    if not all(hasattr(image, name) for name in ("mode", "size", "convert", "tobytes")):
        raise TypeError(f"a picture is a path, the bytes of a file, an image of Pillow's, a numpy array or a llama4.Image, not {type(image).__name__}")
    if upright and hasattr(image, "getexif") and image.getexif().get(0x0112, 1) != 1:
        from PIL import ImageOps  # type: ignore[import-not-found, unused-ignore]

        image = ImageOps.exif_transpose(image)
    mode = image.mode
    if mode.startswith("I"):  # 16 bits, of which 8 count
        wide: NDArray[Any] = np.asarray(image)
        narrow: NDArray[Any] = (np.clip(wide, 0, 0xFFFF) >> 8).astype(np.uint8)
        return narrow
    if mode == "F":
        raise TypeError("an image of floats has no scale: convert it to RGB first")
    if mode not in ("L", "RGB", "RGBA"):
        clear = mode in ("LA", "La", "PA", "RGBa") or "transparency" in getattr(image, "info", {})
        image = image.convert("RGBA" if clear else "L" if mode == "1" else "RGB")
    elif mode in ("L", "RGB") and "transparency" in getattr(image, "info", {}):
        image = image.convert("RGBA")
    width, height = image.size
    pixels: NDArray[Any] = np.frombuffer(image.tobytes(), np.uint8)
    return pixels.reshape(height, width, -1)


# ---- Parts of messages ----


class Picture(NamedTuple):
    """A picture in a message."""

    what: Union[Image, Embeddings]
    seconds: Optional[float]  #: since the beginning of the video that it is a frame of


def is_source(part: Any) -> bool:
    """May it stand in a message without further words? A string may not: it is text."""
    return (isinstance(part, (Image, Embeddings, os.PathLike, bytes, bytearray, memoryview, np.ndarray)) or
            all(hasattr(part, name) for name in ("mode", "size", "convert", "tobytes")))


def as_picture(part: Any, place: str) -> Optional[Picture]:
    """The picture that a part of a message is; None if it is none."""
    if is_source(part):
        return Picture(part if isinstance(part, (Image, Embeddings)) else Image(part), None)
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "image_url":
        url = part.get("image_url")
        return Picture(Image(_data(url.get("url") if isinstance(url, Mapping) else url, place)), None)
    if kind not in ("image", "frame"):
        return None
    source = part.get("image")
    if source is None:
        raise _errors.argument(f"{place}: a part of type {kind!r} has no 'image'")
    if kind == "image":
        return Picture(source if isinstance(source, (Image, Embeddings)) else Image(source), None)
    what = source if isinstance(source, (Image, Embeddings)) else Image(source, max_tiles=1)
    seconds = part.get("seconds")
    if not isinstance(seconds, (int, float)) or not 0 <= seconds <= 1e9:
        raise _errors.argument(f"{place}: the 'seconds' of a frame are {seconds!r}, not 0 .. 1e9")
    if not (what._single if isinstance(what, Image) else what.info.tiles == 1):
        raise _errors.argument(f"{place}: a frame has one tile: give its image max_tiles=1")
    return Picture(what, float(seconds))


def _data(url: Any, place: str) -> bytes:
    """What a data URL holds. Others are refused: nothing is downloaded, and no file opened because a message names it so."""
    head, comma, body = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not (head.startswith("data:") and comma):
        raise _errors.unsupported(f"{place}: an image_url must be a data URL; for files there are parts of type 'image'")
    if not head.endswith(";base64"):
        raise _errors.unsupported(f"{place}: a data URL must be in base64")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise _errors.make(ffi.LLAMA4_ERR_FORMAT, f"{place}: the data URL is no base64") from None


def video_frames(frames: Iterable[Union[ImageSource, Embeddings]], *, fps: Optional[float] = None,
                 times: Optional[Sequence[float]] = None) -> List[Dict[str, Any]]:
    """Parts of a message from pictures of a video: each is one tile, with its time before it, such as "[1:23.4] ".

        content = [*llama4.video_frames(frames, fps=0.5), "What happens?"]

    fps: how many of them come from one second
    times: or else the seconds of each since the video's beginning
    """
    if (fps is None) == (times is None):
        raise _errors.argument("frames need either fps or times")
    if fps is not None and not 0 < fps < sys.float_info.max:
        raise _errors.argument(f"fps is {fps}")
    parts: List[Dict[str, Any]] = [{"type": "frame", "image": frame} for frame in frames]
    if times is not None and len(times) != len(parts):
        raise _errors.argument(f"there are {len(parts)} frames and {len(times)} times")
    for i, part in enumerate(parts):
        part["seconds"] = float(times[i]) if times is not None else i / float(fps or 1)
    return parts
