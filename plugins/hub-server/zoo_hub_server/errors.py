"""Refusals: what the hub answers when it does not do what a request asks.

Clients tell some of them apart by the text alone, so where huggingface.co has a text for it, that is the text here.
"""


class Refusal(Exception):
    """An answer that is an error. The client picks its exception by `code`, a header, and not by the status.

    `code` is one of RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo (huggingface_hub.utils._http), or None.
    """

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


def bad_request(message: str) -> Refusal:
    """400: the request itself is wrong."""
    return Refusal(400, message)


def unprocessable(message: str) -> Refusal:
    """422: well said, and nothing that could be done."""
    return Refusal(422, message)


def forbidden(message: str) -> Refusal:
    """403: known, and not allowed."""
    return Refusal(403, message)


def conflict(message: str) -> Refusal:
    """409: there is one already."""
    return Refusal(409, message)


def branch_has_moved() -> Refusal:
    """412: somebody committed meanwhile."""
    return Refusal(412, "The branch was updated since you opened this page. Please refresh and try again.")


def too_large(message: str) -> Refusal:
    """413: over a limit of this hub."""
    return Refusal(413, message)


def repository_not_found(*, known_user: bool) -> Refusal:
    """Missing, or private: the same words, so that nobody learns which. 401 invites an anonymous client to log in."""
    hint = "" if known_user else ". If it is private, log in."
    return Refusal(404 if known_user else 401, f"Repository not found{hint}", "RepoNotFound")


def revision_not_found(revision: str) -> Refusal:
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, commit: str | None = None) -> Refusal:
    """A file that is not there. With the commit the client remembers that it is not."""
    return Refusal(
        404, f"Entry not found: {path}", "EntryNotFound", {} if commit is None else {"X-Repo-Commit": commit}
    )
