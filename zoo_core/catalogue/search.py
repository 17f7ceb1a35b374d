"""What releases a hub holds, by the tags of their model cards."""

from typing import NamedTuple

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.hub.endpoint import current_endpoint
from zoo_core.hub.repository import FIRST_ANSWER, explained


class Found(NamedTuple):
    """A repository on the hub that says it holds a release of the zoo.

    Attributes:
        repo: its name, "owner/name".
        model: the first of its tags that is a model of an installed plugin; otherwise its first tag; None without tags.
        plugin: the distribution that it needs, as its card says; None if the card does not say.
        here: whether that distribution is installed.
        changed: the date of the last change, as text; None if unknown.
    """

    repo: str
    model: str | None
    plugin: str | None
    here: bool
    changed: str | None


def search(words: str = "", *, limit: int = 50, registry: Registry | None = None) -> list[Found]:
    """The repositories of the current hub with the library "zoo" whose name holds `words`.

    Raises:
        ZooError: the hub refuses, or cannot be reached.
    """
    from huggingface_hub import HfApi, get_session

    registry = registry or default_registry()
    endpoint = current_endpoint()
    names = {registration.spec.name for registration in registry.models()}
    distributions = {plugin.distribution for plugin in registry.plugins}
    try:
        api = HfApi(endpoint=endpoint.url, token=endpoint.token)
        get_session().head(endpoint.url, timeout=FIRST_ANSWER)  # fails at once; the list itself is tried for 20 s
        infos = list(api.list_models(filter="zoo", search=words or None, limit=limit, full=True))
    except Exception as error:
        raise explained(error, endpoint, words or "the list of models") from error
    found = []
    for info in infos:
        tags = [tag for tag in info.tags or [] if tag != "zoo" and ":" not in tag]
        model = next((tag for tag in tags if tag in names), next(iter(tags), None))
        plugin = next(
            (tag for tag in tags if tag in distributions), next((t for t in tags if t.startswith("zoo-")), None)
        )
        changed = info.last_modified.date().isoformat() if info.last_modified else None
        found.append(Found(info.id, model, plugin, plugin in distributions, changed))
    return found
