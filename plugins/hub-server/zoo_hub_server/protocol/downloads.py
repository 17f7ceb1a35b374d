"""Files: GET and HEAD of /…/resolve/REVISION/PATH."""

from starlette.responses import Response

from zoo_hub_server.errors import Refusal
from zoo_hub_server.hub import Call
from zoo_hub_server.sending import Content, file_headers


def resolve_model(call: Call) -> Response:
    return _resolve(call, "models")


def resolve_dataset(call: Call) -> Response:
    return _resolve(call, "datasets")


def _resolve(call: Call, kind: str) -> Response:
    call.params["kind"] = kind
    repository = call.repository(read_files=True)
    commit = repository.resolve(call.params["revision"])
    file = repository.file(commit, call.params["path"])
    headers = file_headers(file.path, file.etag) | {"X-Repo-Commit": commit}
    if file.lfs is not None:
        headers |= {"X-Linked-Etag": f'"{file.lfs.oid}"', "X-Linked-Size": str(file.size)}
    if call.request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    wanted = call.request.headers.get("range") if _same(call, headers["ETag"]) else None
    if file.lfs is None:
        return Content(repository.read(file), file.size, headers, wanted, call.hub.limits.stall)
    if not repository.objects.has(file.lfs.oid, file.lfs.size):
        raise Refusal(404, f"The content of {file.path} is lost on this hub; its keeper should run: zoo hub verify.")
    return Content(repository.objects.path(file.lfs.oid), file.size, headers, wanted, call.hub.limits.stall)


def _same(call: Call, etag: str) -> bool:
    """Whether If-Range, if it is there, still holds."""
    return call.request.headers.get("if-range", etag) == etag
