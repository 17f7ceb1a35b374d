"""What a notebook shows in place of text: tables and progress bars."""

import sys
import time
from collections.abc import Sequence
from typing import Any

BETWEEN_UPDATES = 0.2  # seconds: each is a message to the browser


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of texts."""
    from html import escape  # imported here, because a terminal does not need it

    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class NotebookBar:
    """A progress bar with a text beside it, below the running cell."""

    def __init__(self, label: str) -> None:
        from IPython.display import HTML, display

        self.label, self.html = label, HTML
        self.began, self.updated = time.monotonic(), -BETWEEN_UPDATES
        self.shown: Any = display(HTML(""), display_id=True)

    def show(self, done: float, text: str) -> None:
        """Show the part that is done, in [0, 1], and a text."""
        from html import escape

        now = time.monotonic()
        if now - self.updated < BETWEEN_UPDATES:
            return
        self.updated = now
        left = f", {(now - self.began) * (1 - done) / done:.0f} s left" if done > 0 else ""
        bar = f'<progress value="{done:.4f}" style="width: 20em"></progress>'
        self.shown.update(self.html(f"{escape(self.label)} {bar} {done:.0%}{left} <tt>{escape(text)}</tt>"))

    def remove(self) -> None:
        """Remove the bar."""
        self.shown.update(self.html(""))
