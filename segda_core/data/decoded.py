"""Images and labels as training wants them, decoded and resized: from the cache, or from the file into it.

What a sample becomes does not depend on which: a name in the cache stands for the file's content as far as
it can be told without reading it all, for what was done with it, and for the library that did it.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import PIL
from PIL import features

from segda_core.config import Size
from segda_core.data.labels import Pixels, read_image, read_label
from segda_core.data.store import ENDING, Store
from segda_core.data.transforms import resize, resize_label
from segda_core.errors import DataError

VERSION = 2
"""Raised whenever decoding or resizing changes a pixel."""

DECODER = f"{PIL.__version__} {features.version('libjpeg_turbo') or features.version('jpg')}"
"""Another Pillow or libjpeg may round otherwise."""

DOMAIN_FOLDERS = frozenset({"images", "labels", "leftImg8bit", "gtFine"})
"""Right below the root of a domain, in either layout."""

TAIL = 64
"""Bytes at a file's end: of a PNG they hold a checksum over all its pixels."""


@dataclass(frozen=True)
class Picture:
    """An image (height, width, 3) or a label's train ids (height, width)."""

    pixels: Pixels
    file_size: Size
    """(width, height) in the file."""


class DecodedImages:
    """The images of one stream at one size; None is each file's own."""

    def __init__(self, store: Store, size: Size | None) -> None:
        self.store = store
        self.size = size
        self._names: dict[tuple[Path, Size | None], str] = {}
        """Of files whose content was looked at: once in the life of a process."""

    def image(self, path: Path) -> Picture:
        """RGB, bicubic; `DataError` where the file cannot be read."""
        return self._get("image", path, self.size, read_image, resize)

    def label(self, path: Path, size: Size | None = None) -> Picture:
        """Train ids at `size`, nearest; None: the label's own."""
        return self._get("label", path, size, read_label, resize_label)

    def _get(
        self,
        kind: str,
        path: Path,
        size: Size | None,
        decode: Callable[[Path], Pixels],
        at_size: Callable[[Pixels, Size], Pixels],
    ) -> Picture:
        name = self._names.get((path, size)) or self._name(kind, path, size)
        found = self.store.read(name)
        if found is not None:
            self._names[path, size] = name
            facts, pixels = found
            return Picture(pixels, (facts["file_size"][0], facts["file_size"][1]))
        pixels = decode(path)
        file_size = (pixels.shape[1], pixels.shape[0])
        pixels = at_size(pixels, size or file_size)
        pixels.setflags(write=False)  # as those of the cache are
        if self._name(kind, path, size) == name:  # else it was changed while it was read
            self.store.write(name, {"source": str(path.absolute()), "file_size": file_size}, pixels)
        return Picture(pixels, file_size)

    def _name(self, kind: str, path: Path, size: Size | None) -> str:
        """Where the cache keeps what the file holds now."""
        content = identity(path)
        digest = hashlib.sha256(f"{VERSION}\t{DECODER}\t{kind}\t{size}\t{content}".encode()).hexdigest()
        folder = "file size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return f"{domain_folder(path)}/{folder}/{digest[:32]}{ENDING}"


def identity(path: Path) -> str:
    """A file's content as far as it can be told without reading it: path, size, time of change, last bytes.

    `DataError` where there is no such file.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            tail = os.pread(stream.fileno(), TAIL, max(0, status.st_size - TAIL))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    return f"{path.absolute()}\t{status.st_size}\t{status.st_mtime_ns}\t{tail.hex()}"


def domain_folder(path: Path) -> str:
    """The cache's folder for files of the domain that a file belongs to."""
    root = domain_root(path.absolute())
    return f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


def domain_root(path: Path) -> Path:
    """The folder of the domain that a file belongs to, for people to recognise."""
    inside = [parent for parent in path.parents if parent.name in DOMAIN_FOLDERS]
    return inside[0].parent if inside else path.parent
