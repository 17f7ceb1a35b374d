"""References: how a model is named, wherever one is asked for.

pixelrnn                     its default weights
pixelrnn.digits              a tag
autoregressive:pixelrnn      a plugin's model, where two plugins have that name
./runs/mine                  a folder; an existing one wins over org/repo
org/repo[@revision]          a repository on the hub; `hf:org/repo` even where such a folder exists
s3://bucket/pixelrnn         an fsspec URL
"""

import re
from pathlib import Path
from typing import NamedTuple

from zoo_core.discovery.registry import normalise
from zoo_core.errors import UsageError

_REPOSITORY = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
_NAME = re.compile(r"(?:(?P<family>[a-z0-9-]+):)?(?P<model>[a-z0-9-]+)(?:\.(?P<tag>[a-z0-9.-]+))?")


class NameReference(NamedTuple):
    """A model that plugins and manifests know: `pixelrnn.digits`.

    Attributes:
        model: the name of the model.
        tag: the tag of its weights; None means the default ones.
        family: the plugin, if `family:model` says which; otherwise None.
    """

    model: str
    tag: str | None = None
    family: str | None = None

    def __str__(self) -> str:
        return f"{self.family + ':' if self.family else ''}{self.model}{'.' + self.tag if self.tag else ''}"


class FolderReference(NamedTuple):
    """A release in a folder: `./runs/mine`.

    Attributes:
        path: the folder.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)


class HubReference(NamedTuple):
    """A release in a repository on the hub: `hf:owner/name@revision`.

    Attributes:
        repo: "owner/name".
        revision: a branch, tag or commit; None means the main branch.
    """

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf:{self.repo}{'@' + self.revision if self.revision else ''}"


class UrlReference(NamedTuple):
    """A release at a URL that fsspec can read.

    Attributes:
        url: the address of its folder.
    """

    url: str

    def __str__(self) -> str:
        return self.url


class PackageReference(NamedTuple):
    """A release inside an installed package: `package:zoo_autoregressive/weights/pixelrnn.digits`.

    Attributes:
        package: the name of the module.
        path: the folder in it.
    """

    package: str
    path: str

    def __str__(self) -> str:
        return f"package:{self.package}/{self.path}"


Reference = NameReference | FolderReference | HubReference | UrlReference | PackageReference


def parse_reference(text: str) -> Reference:
    """What `text` refers to; only whether a folder exists is looked up.

    Raises:
        UsageError: it has none of the forms.
    """
    if not isinstance(text, str):
        raise UsageError(f"a model is named by a text, such as 'pixelrnn' or './runs/mine', and not by {text!r}")
    if text.startswith("hf:"):
        return _repository(text, text.removeprefix("hf:"))
    if text.startswith("package:"):
        package, _, path = text.removeprefix("package:").partition("/")
        if not package.isidentifier() or not path or ".." in Path(path).parts:
            raise UsageError(f"'{text}' is not package:NAME/PATH")
        return PackageReference(package, path)
    if re.match(r"[a-z][a-z0-9+.-]*://", text):
        return UrlReference(text)
    if text.startswith("folder:"):
        return FolderReference(Path(text.removeprefix("folder:")).expanduser())
    folder = Path(text).expanduser()
    if text.startswith((".", "/", "~")) or "\\" in text or ("/" in text and folder.is_dir()):
        return FolderReference(folder)
    if "/" in text:
        return _repository(text, text)
    match = _NAME.fullmatch(normalise(text))
    if not match:
        raise UsageError(
            f"'{text}' is not a model name, a folder, org/repo or a URL", "Run 'zoo list' to see the names."
        )
    return NameReference(match["model"], match["tag"], match["family"])


def folder_and_repository(text: str) -> bool:
    """Whether `text` names an existing folder, and could be a repository on the hub too."""
    return _REPOSITORY.fullmatch(text) is not None and Path(text).is_dir()


def _repository(text: str, repository: str) -> HubReference:
    match = _REPOSITORY.fullmatch(repository)
    if not match:
        raise UsageError(f"'{text}' is neither an existing folder nor org/repo[@revision]")
    if ".." in repository or "@/" in repository:
        raise UsageError(f"'{text}' cannot be a repository and its revision: org/repo[@revision]")
    return HubReference(match["repo"], match["revision"])
