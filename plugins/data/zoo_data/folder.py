"""folder:PATH: a user's own images.

    zoo train vae --data folder:pets --size 28          (the same as --data folder:pets,size=28)

A subfolder is a class, and what lies deeper belongs to it; without subfolders there are no labels. Where there is a
subfolder train, the splits are subfolders (train, validation or val, test) with the classes inside them. A split that
is missing is a tenth of a seed-0 permutation of train: with no such subfolders, 80/10/10 of everything.

All images have one size, or `size` makes it so: the short side to `size` pixels (bilinear, antialiased), then the
square in the middle. Grey if all images are grey, else RGB; `channels` says otherwise. Photographs are turned as their
camera says, transparency is put on white, and of 16 bits the upper 8 stay.
"""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core import DataError, Field, Record, RecordError, TensorDataset, UsageError, cached_tensors

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class FolderOptions(Record, kw_only=True):
    """What follows the path: `folder:pets,size=28,channels=1`."""

    size: Annotated[int, Meta(ge=1)] | None = None  # pixels a side; by default the images' own size
    channels: Literal[1, 3] | None = None  # 1 grey, 3 RGB; by default what the images are


class NoFolder(UsageError, DataError):
    """A path that is wrong, or data that are not here."""


class Folder(TensorDataset):
    """Examples of "image" [B, C, H, W] in [0, 1] (256 levels), and of "label" [B] int64 where there are classes, in the
    order of their names."""

    def __init__(self, *, data_file: Path | None = None) -> None:
        if data_file is None:
            raise UsageError("'folder' needs the path of a folder", "For example: --data folder:pets")
        root, options, words = read_reference(data_file)
        self.name = ",".join([f"folder:{root.resolve().name}", *words])
        found = _find_images(root)
        classes = sorted({name for files in found.values() for name, _ in files if name is not None})
        tensors = cached_tensors(_cache_key(root, found, words), lambda: _decode(found, classes, options))
        splits: dict[str, dict[str, Tensor]] = {}
        for key, tensor in sorted(tensors.items(), key=lambda item: list(SPLITS).index(item[0].partition("/")[0])):
            split, _, field = key.partition("/")
            splits.setdefault(split, {})[field] = tensor
        features = {
            "image": Field(kind="image", shape=splits["train"]["image"].shape[1:], range=(0.0, 1.0), levels=256)
        }
        if classes:
            features["label"] = Field(kind="label", dtype="int64", classes=tuple(classes))
        super().__init__(features, splits)


Found = dict[str, list[tuple[str | None, Path]]]  # split -> class and file, sorted


def read_reference(reference: Path, kind: str = "folder") -> tuple[Path, FolderOptions, list[str]]:
    """The folder of `PATH[,size=N][,channels=C]`, the options, and how they are written.

    Raises:
        UsageError: there is no such folder or option.
    """
    path, after = str(reference.expanduser()), ""
    if not Path(path).is_dir() and (match := re.fullmatch(r"(.*?)((?:,\w+=[^,/]*)+)", path)):
        path, after = match.groups()
    root = Path(path)
    pairs = [word.split("=") for word in after.split(",")[1:]]
    values: dict[str, Any] = {key: int(value) if value.isdigit() else value for key, value in pairs}
    if len(values) < len(pairs):
        raise UsageError(f"'{kind}:{reference}' says something twice", "--size N adds size=N.")
    try:
        options = FolderOptions(**values)
    except RecordError as error:
        raise UsageError(f"'{kind}:{reference}': {error.message}", "There are: size=PIXELS, channels=1 or 3.") from None
    if not root.is_dir():
        beside = [file.name for file in root.parent.iterdir() if file.is_dir()] if root.parent.is_dir() else []
        near = difflib.get_close_matches(root.name, beside, n=1)
        guess = f". Did you mean '{root.parent / near[0]}'?" if near else ""
        what = "is not a folder" if root.exists() else "does not exist"
        raise NoFolder(f"the folder '{root}' {what}{guess}", f"Name one with data in it: {kind}:PATH.")
    words = [f"{key}={value}" for key in ("size", "channels") if (value := getattr(options, key)) is not None]
    return root, options, words


def _find_images(root: Path) -> Found:
    """The images of each split that has a folder of its own; of "train" alone where none has."""
    own = [folder for folder in _subfolders(root) if folder.name in SPLITS]
    found: Found = {}
    if any(SPLITS[folder.name] == "train" for folder in own):
        for folder in own:
            found.setdefault(SPLITS[folder.name], []).extend(_find_classes(folder))
        if beside := [folder.name for folder in _subfolders(root) if folder not in own]:
            raise UsageError(f"'{root}' has splits (train, …), and beside them '{beside[0]}'", "Move it elsewhere.")
    else:
        found["train"] = _find_classes(root)
    for split, files in found.items():
        if not files:
            raise UsageError(f"no images are found in '{root}' ({split})", f"Looked for: {' '.join(SUFFIXES)}.")
        classes = {name for name, _ in found["train"]}
        if strange := next((file for name, file in files if name not in classes), None):
            raise UsageError(f"'{strange}' is of a class that train has not")
    return found


def _find_classes(root: Path) -> list[tuple[str | None, Path]]:
    """The images below `root`, each with its class; None where there are no classes."""
    plain = [file for file in sorted(root.iterdir()) if _is_image(file)]
    classes = [
        (folder.name, Path(place, name))
        for folder in _subfolders(root)
        for place, _, names in os.walk(folder)
        for name in names
        if _is_image(Path(place, name))
    ]
    if plain and classes:
        raise UsageError(f"'{plain[0]}' lies beside folders of classes", "Move it into one of them, or elsewhere.")
    return sorted(classes) or [(None, file) for file in plain]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _cache_key(root: Path, found: Found, words: Sequence[str]) -> str:
    """What the decoded images depend on: the files by place, size and time of their last change, and the options."""
    lines = [*words, str(root.resolve())]
    for split, files in found.items():
        for name, file in files:
            status = file.stat()
            lines.append(f"{split} {name} {file.relative_to(root)} {status.st_size} {status.st_mtime_ns}")
    return f"folder.{sha256(os.fsencode(chr(10).join(lines))).hexdigest()[:32]}"


def _decode(found: Found, classes: Sequence[str], options: FolderOptions) -> dict[str, Tensor]:
    """All splits as `<split>/<field>`, each in a seed-0 order, and those that have no folder taken from train."""
    import numpy as np

    files = [file for of_split in found.values() for _, file in of_split]
    images = np.stack(_of_one_kind(files, _read(files, options)))  # [N, H, W, C]
    stored = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))  # [N, C, H, W]
    labels = torch.tensor(
        [classes.index(name) for of_split in found.values() for name, _ in of_split if name is not None]
    )
    rows: dict[str, Tensor] = {}
    start = 0
    for split, of_split in found.items():
        rows[split] = start + torch.randperm(len(of_split), generator=torch.Generator().manual_seed(0))
        start += len(of_split)
    missing = [split for split in ("validation", "test") if split not in rows]
    tenth = max(len(rows["train"]) // 10, 1)
    if missing and len(rows["train"]) <= tenth * len(missing):
        raise UsageError(f"{len(rows['train'])} images are too few to take {' and '.join(missing)} from")
    for split in missing:
        rows[split], rows["train"] = rows["train"][:tenth], rows["train"][tenth:]
    decoded = {f"{split}/image": stored[chosen] for split, chosen in rows.items()}
    return decoded | ({f"{split}/label": labels[chosen] for split, chosen in rows.items()} if classes else {})


def _read(files: Sequence[Path], options: FolderOptions) -> "Iterator[np.ndarray]":
    """The images in order, each [H, W, 1] grey or [H, W, 3] RGB uint8; decoded by many threads, which pillow allows."""
    with ThreadPoolExecutor() as threads:
        yield from threads.map(lambda file: decode_image(file, options, f"'{file}'"), files)


def _of_one_kind(files: Sequence[Path], images: "Iterator[np.ndarray]") -> "list[np.ndarray]":
    """The images with as many channels each; UsageError at the first one of another size."""
    kept: list[np.ndarray] = []
    for file, image in zip(files, images, strict=True):
        if kept and image.shape[:2] != kept[0].shape[:2]:
            sizes = [
                f"'{name}' has {shape[1]} x {shape[0]}"
                for name, shape in ((files[0], kept[0].shape), (file, image.shape))
            ]
            raise UsageError(
                f"the images have several sizes: {' and '.join(sizes)} pixels",
                "Say to which size they shall be brought: --size N, or folder:PATH,size=N.",
            )
        kept.append(image)
    channels = max(image.shape[2] for image in kept)
    return [image.repeat(channels // image.shape[2], axis=2) for image in kept]


def decode_image(source: Path | BinaryIO, options: FolderOptions, what: str) -> "np.ndarray":
    """One image, [H, W, C] uint8; errors say `what` it is.

    Raises:
        DataError: it cannot be read.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as opened:
            image = _eight_bits(ImageOps.exif_transpose(opened))
        if options.channels is not None:
            image = image.convert("L" if options.channels == 1 else "RGB")
        if options.size is not None:
            image = ImageOps.fit(image, (options.size, options.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels
    except Exception as error:  # a damaged file leads pillow to errors of many kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{what} cannot be read as an image: {reason}", "Mend it, or take it away.") from error


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """As "L" or "RGB", on white where it is transparent."""
    import numpy as np
    from PIL import Image

    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        grey = image.mode in ("LA", "La")
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L" if grey else "RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of 32 bits (mode {image.mode}) have no known range")
    return image.convert("RGB")
