"""Who may see a repository, and who may write what to it."""

from collections.abc import Iterable
from dataclasses import dataclass

from zoo_hub_server.assignments import Assignment, assignment_of
from zoo_hub_server.errors import Refusal, forbidden
from zoo_hub_server.names import RepoId
from zoo_hub_server.repository import About
from zoo_hub_server.users import User


@dataclass(frozen=True)
class Writing:
    """When the whole hub is read-only, or all but some users'.

    Attributes:
        allowed: the users who may write, in lower case; None is everybody.
    """

    allowed: frozenset[str] | None = None

    @classmethod
    def only(cls, names: Iterable[str]) -> "Writing":
        return cls(frozenset(name.lower() for name in names))

    @property
    def nobody(self) -> bool:
        return self.allowed is not None and not self.allowed

    def check(self, user: User | None) -> User:
        """Raise Refusal, 401 or 403, unless this user may write anywhere."""
        if self.nobody:
            raise forbidden("This hub is read-only.")
        if user is None:
            raise Refusal(401, "Log in to write: a token is needed.")
        if self.allowed is not None and user.name.lower() not in self.allowed:
            raise forbidden(f"Only {', '.join(sorted(self.allowed))} may write to this hub now.")
        if user.role != "write":
            raise forbidden(f"The token of {user.name} may only read.")
        return user


class Permissions:
    """What one user, or somebody without a token, may do."""

    def __init__(self, user: User | None, writing: Writing, assignments: list[Assignment]) -> None:
        self.user = user
        self._writing = writing
        self._assignments = assignments

    def may_see(self, repo: RepoId, about: About) -> bool:
        """Whether the user may know of a repository."""
        assignment = assignment_of(repo, self._assignments)
        if assignment is not None and not assignment.released:
            return self._owns(repo.namespace) or self._is(assignment.author(repo))
        return not about.private or self.belongs_to(repo.namespace)

    def belongs_to(self, namespace: str) -> bool:
        """Whether a namespace is the user's, or that of a team of theirs."""
        return self.user is not None and self.user.role_in(namespace) is not None

    def check_may_write(self, repo: RepoId, about: About | None) -> User:
        """Who writes, if the user may do what they like with a repository; `about` is None for one to be created.

        Raises:
            Refusal: 401 or 403.
        """
        user, folder = self.writable(repo, about)
        if folder:
            raise forbidden(f"{user.name} may write to the folder {folder} of {repo}, and not to {repo} as a whole.")
        return user

    def check_paths(self, repo: RepoId, about: About, paths: Iterable[str]) -> None:
        """Raise Refusal, 401 or 403, unless the user may write all these files."""
        user, folder = self.writable(repo, about)
        outside = next((path for path in paths if not path.startswith(folder)), None)
        if outside is not None:
            raise forbidden(f"{user.name} may write to the folder {folder} of {repo}, and not to '{outside[:100]}'.")

    def writable(self, repo: RepoId, about: About | None) -> tuple[User, str]:
        """Who writes, and the folder to which that is confined; empty is the whole repository.

        Raises:
            Refusal: 401 or 403, nothing may be written.
        """
        user = self._writing.check(self.user)
        role = user.role_in(repo.namespace)
        if role is None:
            raise forbidden(f"{user.name} may not write to {repo.namespace}.")
        if role == "reader":
            raise forbidden(f"{user.name} is a reader in {repo.namespace}, and may not write there.")
        if role == "owner":
            return user, ""
        assignment = assignment_of(repo, self._assignments)
        if assignment is not None:
            self._check_hand_in(user, repo, assignment)
        elif about is not None and not self._is(about.owner.lower()):
            return user, f"{user.name}/"
        return user, ""

    def _check_hand_in(self, user: User, repo: RepoId, assignment: Assignment) -> None:
        if not self._is(assignment.author(repo)):
            raise forbidden(f"{repo} is not yours. Hand in to {assignment}-{user.name}.")
        if assignment.is_over():
            raise forbidden(
                f"The deadline of {assignment} was {assignment.due()}: {repo} takes no more changes. "
                f"Ask an owner of {assignment.team}."
            )

    def _owns(self, namespace: str) -> bool:
        return self.user is not None and self.user.role_in(namespace) == "owner"

    def _is(self, name: str | None) -> bool:
        return self.user is not None and self.user.name.lower() == name
