"""Every address of the hub, in the order in which they are tried."""

from collections.abc import Callable
from typing import Any, NamedTuple

from zoo_hub_server import simple_index
from zoo_hub_server.protocol import commits, downloads, gate, identity, large_files, reading, refs, repositories
from zoo_hub_server.web import pages


class Route(NamedTuple):
    """A method, an address (`{x}` is one part, `{x*}` the rest), and what answers: in a thread, or as a coroutine."""

    method: str
    pattern: str
    handler: Callable[..., Any]


_REPO = "/api/{kind}/{namespace}/{name}"
_LFS = "/lfs/{kind}/{namespace}/{name}/{oid}"

ROUTES = [
    # identity and repositories
    Route("GET", "/api/whoami-v2", identity.whoami),
    Route("GET", "/api/users/{user}/overview", identity.overview),
    Route("POST", "/api/validate-yaml", identity.validate_yaml),
    Route("POST", "/api/repos/create", repositories.create),
    Route("DELETE", "/api/repos/delete", repositories.delete),
    Route("POST", "/api/repos/move", repositories.move),
    Route("PUT", f"{_REPO}/settings", repositories.settings),
    Route("GET", f"{_REPO}/auth-check", repositories.auth_check),
    Route("GET", f"{_REPO}/auth-check/write", repositories.auth_check_write),
    Route("POST", "/datasets/{namespace}/{name}/ask-access", gate.ask_for_dataset),
    Route("POST", "/{namespace}/{name}/ask-access", gate.ask_for_model),
    Route("POST", f"{_REPO}/user-access-request/grant", gate.grant_access),
    Route("POST", f"{_REPO}/user-access-request/handle", gate.answer_request),
    Route("GET", f"{_REPO}/user-access-request/{{status}}", gate.list_asked),
    # reading
    Route("GET", "/api/{kind}", reading.list_repositories),
    Route("GET", f"{_REPO}/revision/{{revision}}", reading.info),
    Route("GET", f"{_REPO}/tree/{{revision}}", reading.tree),
    Route("GET", f"{_REPO}/tree/{{revision}}/{{path*}}", reading.tree),
    Route("POST", f"{_REPO}/paths-info/{{revision}}", reading.paths_info),
    Route("GET", f"{_REPO}/commits/{{revision}}", reading.commits),
    Route("GET", f"{_REPO}/refs", refs.list_refs),
    Route("GET", _REPO, reading.info),
    # branches and tags
    Route("POST", f"{_REPO}/branch/{{branch}}", refs.create_branch),
    Route("DELETE", f"{_REPO}/branch/{{branch}}", refs.delete_branch),
    Route("POST", f"{_REPO}/tag/{{revision}}", refs.create_tag),
    Route("DELETE", f"{_REPO}/tag/{{revision}}", refs.delete_tag),
    Route("POST", f"{_REPO}/super-squash/{{branch}}", refs.squash),
    # writing
    Route("POST", f"{_REPO}/preupload/{{revision}}", commits.preupload),
    Route("POST", f"{_REPO}/commit/{{revision}}", commits.commit),
    Route("GET", f"{_REPO}/xet-write-token/{{revision}}", commits.no_xet),
    Route("GET", f"{_REPO}/xet-read-token/{{revision}}", commits.no_xet),
    Route("POST", "/datasets/{namespace}/{name}.git/info/lfs/objects/batch", large_files.batch_of_dataset),
    Route("POST", "/{namespace}/{name}.git/info/lfs/objects/batch", large_files.batch_of_model),
    Route("PUT", f"{_LFS}", large_files.upload),
    Route("PUT", f"{_LFS}/{{part}}", large_files.upload_part),
    Route("POST", f"{_LFS}/complete", large_files.complete),
    Route("POST", f"{_LFS}/verify", large_files.verify),
    Route("GET", f"{_LFS}", large_files.download),
    # files
    Route("GET", "/datasets/{namespace}/{name}/resolve/{revision}/{path*}", downloads.resolve_dataset),
    Route("GET", "/{namespace}/{name}/resolve/{revision}/{path*}", downloads.resolve_model),
    # packages
    Route("GET", "/simple/", simple_index.projects),
    Route("GET", "/simple/{project}/", simple_index.files),
    Route("GET", "/simple", simple_index.add_slash),
    Route("GET", "/simple/{project}", simple_index.add_slash),
    Route("GET", "/wheels/{file}", simple_index.wheel),
    # pages for people
    Route("GET", "/", pages.home),
    Route("GET", "/static/style.css", pages.style),
    Route("GET", "/login", pages.login),
    Route("GET", "/datasets/{namespace}/{name}", pages.dataset),
    Route("GET", "/datasets/{namespace}/{name}/tree/{revision}", pages.dataset),
    Route("GET", "/datasets/{namespace}/{name}/commit/{revision}", pages.dataset),
    Route("GET", "/datasets/{namespace}/{name}/tree/{revision}/{path*}", pages.dataset),
    Route("GET", "/{namespace}/{name}", pages.model),
    Route("GET", "/{namespace}/{name}/tree/{revision}", pages.model),
    Route("GET", "/{namespace}/{name}/commit/{revision}", pages.model),
    Route("GET", "/{namespace}/{name}/tree/{revision}/{path*}", pages.model),
]
