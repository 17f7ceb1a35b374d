"""A model card as HTML. Raw HTML in it is shown as text; links and pictures inside the repository lead to its files."""

from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from zoo_hub_server.web.html import Html, tag

_RENDERED_UP_TO = 100_000  # characters; a longer card is shown as it is
_markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")


@lru_cache(maxsize=64)
def render(text: str, files: str) -> Html:
    """Markdown as HTML.

    Args:
        text: the card, without its front matter.
        files: the address of the files that relative links are to, such as `/alice/digits/resolve/main`.
    """
    if len(text) > _RENDERED_UP_TO:
        return tag("pre", text)
    tokens = _markdown.parse(text)
    for token in tokens:
        for inner in token.children or []:
            _mend(inner, files)
    return Html(_markdown.renderer.render(tokens, _markdown.options, {}))


def _mend(token: Token, files: str) -> None:
    if token.type == "image":
        token.attrSet("src", _inside(str(token.attrGet("src") or ""), files))
        token.attrSet("loading", "lazy")
    elif token.type == "link_open":
        token.attrSet("href", _inside(str(token.attrGet("href") or ""), files))
        token.attrSet("rel", "nofollow noopener noreferrer")


def _inside(address: str, files: str) -> str:
    """A relative address as one of this repository's files."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "#"
    if parts.scheme or parts.netloc or address.startswith(("/", "#")) or not parts.path:
        return address
    return f"{files}/{quote(unquote(parts.path).removeprefix('./'))}"
