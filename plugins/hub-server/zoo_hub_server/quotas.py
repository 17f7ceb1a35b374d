"""Quotas: how many bytes the repositories of one user may hold on this hub's disk, with all their history."""

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from zoo_hub_server.errors import Refusal, too_large
from zoo_hub_server.folder import HubFolder
from zoo_hub_server.names import RepoId
from zoo_hub_server.repository import About
from zoo_hub_server.sizes import size_text
from zoo_hub_server.users import User, Users


class Quotas:
    """What users have, and what room is left.

    A repository counts for the user whose namespace it is in; one of a team counts for who created it.
    """

    def __init__(self, folder: HubFolder, users: Users) -> None:
        self._folder = folder
        self._users = users
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    @contextmanager
    def room(self, repo: RepoId, about: About, size: int) -> Iterator[None]:
        """Where `size` bytes are about to be kept in a repository: only one at a time of a user's grow meanwhile.

        Raises:
            Refusal: 413, it is more than the quota leaves.
        """
        user = self.payer(repo, about)
        quota = None if user is None or size == 0 else self._users.quota_of(user)
        if user is None or quota is None:
            yield
            return
        with self._locks[user.name]:
            used = self.used(user)
            if used + size > quota:
                raise too_large(
                    f"{user.name} has {size_text(used)} of {size_text(quota)} on this hub, with all history; "
                    f"{size_text(size)} more do not fit. Delete a repository, or ask the hub's keeper for more."
                )
            yield

    def payer(self, repo: RepoId, about: About) -> User | None:
        """The user for whom a repository counts; None for a team's from before there were quotas."""
        found = self._users.named(repo.namespace)
        return found if found is not None or not about.owner else self._users.named(about.owner)

    def used(self, user: User) -> int:
        """Bytes on the disk of a user's repositories."""
        return self._used({user.name.lower()}).get(user.name.lower(), 0)

    def all_used(self) -> dict[str, int]:
        """Bytes on the disk of each user's repositories, by name."""
        names = {user.name.lower(): user.name for user in self._users.all()}
        return {names[name]: size for name, size in self._used(set(names)).items()}

    def _used(self, names: set[str]) -> dict[str, int]:
        """Bytes of these users; names in lower case."""
        total: dict[str, int] = {}
        for repo in self._folder.all_ids():
            payer = repo.namespace.lower()
            if payer not in names:
                repository = self._folder.find(repo)
                try:
                    payer = "" if repository is None else repository.about().owner.lower()
                except Refusal:  # deleted meanwhile
                    continue
                if payer not in names or self._users.named(repo.namespace) is not None:
                    continue
            total[payer] = total.get(payer, 0) + _bytes_in(self._folder.place(repo))
        return total


def _bytes_in(folder: str | Path) -> int:
    size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    size += _bytes_in(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # removed meanwhile
        pass
    return size
