"""A class: users from a list, roles in a team, hand-ins with a deadline, quotas, a leaderboard, and the log of it."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zoo_hub_server.assignments import Assignment, parse_time
from zoo_hub_server.database import Database
from zoo_hub_server.names import RepoId
from zoo_hub_server.sizes import parse_size, size_text
from zoo_hub_server.users import Joining, Users

if TYPE_CHECKING:
    from conftest import Answer, Client, Hub


def run(hub: Hub, command: str, *arguments: object, fails: bool = False) -> str:
    """`zoo hub COMMAND DIR …`: its stdout; with `fails` its stderr."""
    return hub.command(command, *arguments, fails=fails)


def create(hub: Hub, token: str | None, repo: str, **more: str) -> Answer:
    team, _, name = repo.partition("/")
    return hub.call("POST", "/api/repos/create", {"name": name, "organization": team, **more}, token)


def push(hub: Hub, token: str, repo: str, path: str = "a.txt", content: bytes = b"x") -> Answer:
    line = {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode()}}
    return hub.commit(repo, token, [line])


def refusal(answer: Answer) -> str:
    assert answer.status in (401, 403, 404, 413), answer
    return answer.headers["x-error-message"]


def release(**numbers: float) -> bytes:
    """A config.json that tells these numbers on digits."""
    protocol = {"dataset": "digits", "split": "test", "n": 300}
    metrics = [{"metric": name, "value": value, "unit": "", "protocol": protocol} for name, value in numbers.items()]
    return json.dumps({"summary": "a release", "metrics": metrics}).encode()


def until_the(deadline: timedelta) -> str:
    return (datetime.now(UTC) + deadline).isoformat()


@pytest.fixture(scope="module")
def teacher(school: Hub) -> str:
    return school.add_user("teacher", "--team", "class")


@pytest.fixture(scope="module")
def students(school: Hub, teacher: str) -> dict[str, str]:
    """Ada and Bob, contributors of the class, and Eve, who reads along."""
    found = {name: school.add_user(name, "--team", "class", "--as", "contributor") for name in ("ada", "bob")}
    return found | {"eve": school.add_user("eve", "--team", "class", "--as", "reader")}


# -- users ------------------------------------------------------------------------------------------------------------


def test_users_from_a_list(school: Hub, tmp_path: Path) -> None:
    """Tokens of the new ones go to a file of the keeper's own; who is there keeps the token, and joins."""
    old = school.add_user("known")
    (tmp_path / "class.csv").write_text("\ufeffName;Group\nliz;1\nKNOWN;2\n\n# a remark\nmax;2\n", encoding="utf-8")
    assert (
        run(school, "add-users", tmp_path / "class.csv", "--team", "course", "--tokens", tmp_path / "tokens.csv") == ""
    )
    head, *lines = (tmp_path / "tokens.csv").read_text().splitlines()
    tokens = dict(line.split(",") for line in lines)
    assert (head, list(tokens)) == ("name,token", ["liz", "max"])
    assert stat.S_IMODE((tmp_path / "tokens.csv").stat().st_mode) == 0o600
    for name, token in (*tokens.items(), ("known", old)):
        who = school.call("GET", "/api/whoami-v2", token=token).json()
        assert (who["name"], [one["name"] for one in who["orgs"]]) == (name, ["course"])
    assert school.call("GET", "/api/whoami-v2", token=tokens["liz"]).json()["orgs"][0]["roleInOrg"] == "contributor"
    again = run(school, "add-users", tmp_path / "class.csv", "--tokens", tmp_path / "tokens.csv", fails=True)
    assert "exists already" in again
    (tmp_path / "plain.txt").write_text("kim\nlee\n")
    assert [line.split("\t")[0] for line in run(school, "add-users", tmp_path / "plain.txt").splitlines()] == [
        "name", "kim", "lee",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fine\na/b\nclass two\n", "'a/b' is not a name; 'class two' is not a name"),
        ("fine\nFINE\n", "more than once"),
        ("id,group\n1,2\n", "none is called 'name'"),
        ("\n# nobody\n", "names nobody"),
        (b"caf\xe9\n", "not UTF-8"),
        ("fine\nclub\n", "'club' is the name of a team"),
    ],
)
def test_of_a_wrong_list_nobody_is_added(school: Hub, tmp_path: Path, text: str | bytes, said: str) -> None:
    school.add_user(f"of-club-{abs(hash(said)) % 10**6}", "--team", "club")
    (tmp_path / "list").write_bytes(text if isinstance(text, bytes) else text.encode())
    before = run(school, "list-users", "--json")
    assert said in run(school, "add-users", tmp_path / "list", "--tokens", tmp_path / "tokens.csv", fails=True)
    assert run(school, "list-users", "--json") == before
    assert not (tmp_path / "tokens.csv").exists()


def test_a_new_token_leaves_the_rest(school: Hub, students: dict[str, str]) -> None:
    old = school.add_user("zoe", "--team", "class", "--as", "contributor", "--quota", "1MB")
    new = run(school, "new-token", "zoe").strip()
    assert school.call("GET", "/api/whoami-v2", token=old).status == 401
    assert school.call("GET", "/api/whoami-v2", token=new).json()["orgs"][0]["name"] == "class"
    (zoe,) = [one for one in json.loads(run(school, "list-users", "--json")) if one["name"] == "zoe"]
    assert (zoe["roles"], zoe["quota"], zoe["used"]) == ({"class": "contributor"}, 1_000_000, 0)
    assert "no user 'nobody'" in run(school, "new-token", "nobody", fails=True)


def test_joining_and_leaving_a_team(school: Hub, teacher: str) -> None:
    token = school.add_user("tom")
    assert create(school, token, "class/of-tom").status == 403
    run(school, "add-member", "CLASS", "tom", "--as", "contributor")
    assert create(school, token, "class/of-tom").status == 200
    run(school, "add-member", "class", "tom", "--as", "reader")
    assert "is a reader in class" in refusal(push(school, token, "class/of-tom"))
    run(school, "remove-member", "class", "tom")
    assert "may not write to class" in refusal(push(school, token, "class/of-tom"))
    assert "is not in team" in run(school, "remove-member", "class", "tom", fails=True)
    assert "no user 'nobody'" in run(school, "add-member", "class", "nobody", fails=True)
    assert "has the name of a user" in run(school, "add-member", "tom", "ada", fails=True)


def test_a_folder_of_the_version_before_keeps_its_users(tmp_path: Path) -> None:
    """Members were all owners; they stay that."""
    path = tmp_path / "hub.sqlite"
    Database.create(path)
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE members DROP COLUMN role")
        db.execute("ALTER TABLE users DROP COLUMN quota")
        db.execute("DROP TABLE assignments")
        db.execute("PRAGMA user_version = 0")
        db.execute("INSERT INTO users VALUES ('ann', 'write', 'x', '2024-01-01')")
        db.execute("INSERT INTO members VALUES ('lab', 'ann')")
    db.close()
    with pytest.raises(Exception, match="no user"):
        Users(Database(path)).new_token("nobody")  # what fails takes no step of the change back
    (ann,) = Users(Database(path)).all()
    assert (dict(ann.memberships), ann.quota) == ({"lab": "owner"}, None)
    token = Users(Database(path)).add(Joining("bob", teams=("lab",), team_role="contributor"))
    found = Users(Database(path)).of_token(token)
    assert found is not None
    assert found.role_in("lab") == "contributor"


# -- roles ------------------------------------------------------------------------------------------------------------


def test_roles_in_a_team(school: Hub, teacher: str, students: dict[str, str]) -> None:
    """A contributor writes to what is their own: repositories, and in others the folder with their name."""
    ada, bob, eve = students["ada"], students["bob"], students["eve"]
    assert create(school, ada, "class/of-ada", visibility="private").status == 200
    assert create(school, teacher, "class/shared").status == 200
    assert create(school, eve, "class/of-eve").status == 403
    assert push(school, ada, "class/of-ada").status == 200
    assert push(school, teacher, "class/of-ada", "from-teacher.txt").status == 200
    for token in (bob, eve):
        assert school.call("GET", "/api/models/class/of-ada", token=token).status == 200, "the class sees it"
        assert push(school, token, "class/of-ada").status == 403
        for method, path, body in (
            ("PUT", "/api/models/class/of-ada/settings", {"visibility": "public"}),
            ("POST", "/api/models/class/of-ada/branch/x", {}),
            ("POST", "/api/models/class/of-ada/tag/main", {"tag": "x"}),
            ("POST", "/api/models/class/of-ada/super-squash/main", {}),
            ("DELETE", "/api/repos/delete", {"name": "of-ada", "organization": "class"}),
            ("POST", "/api/repos/move", {"fromRepo": "class/of-ada", "toRepo": "bob/mine"}),
            ("GET", "/api/models/class/of-ada/auth-check/write", None),
        ):
            assert school.call(method, path, body, token).status == 403, path
    assert push(school, ada, "class/shared", "ada/notes.txt").status == 200
    assert "the folder ada/ of class/shared" in refusal(push(school, ada, "class/shared", "bob/notes.txt"))
    assert "not to 'ada.txt'" in refusal(push(school, ada, "class/shared", "ada.txt"))
    delete = {"key": "deletedFolder", "value": {"path": "ada"}}
    assert school.commit("class/shared", bob, [delete]).status == 403
    asked = {"files": [{"path": "other/x.txt", "size": 1, "sample": ""}]}
    assert school.call("POST", "/api/models/class/shared/preupload/main", asked, ada).status == 403
    assert push(school, eve, "class/shared", "eve/notes.txt").status == 403


def test_a_mode_in_which_only_the_teacher_writes(serve: Callable[..., Hub], tmp_path: Path) -> None:
    hub = serve(tmp_path / "hub")
    teacher, ada = hub.add_user("teacher"), hub.add_user("ada")
    assert create(hub, ada, "ada/m").status == 200
    hub.stop()
    hub = serve(tmp_path / "hub", "--writer", "Teacher")
    assert create(hub, teacher, "teacher/m").status == 200
    assert push(hub, teacher, "teacher/m").status == 200
    assert refusal(push(hub, ada, "ada/m")) == "Only teacher may write to this hub now."
    assert hub.call("GET", "/teacher/m/resolve/main/a.txt", token=ada).body == b"x"
    hub.stop()
    assert "no user 'techer'" in run(hub, "serve", "--port", 0, "--writer", "techer", fails=True)
    assert "exclude each other" in run(hub, "serve", "--read-only", "--writer", "teacher", fails=True)


# -- hand-ins ---------------------------------------------------------------------------------------------------------


def visible(hub: Hub, repo: str, token: str | None) -> set[int]:
    """The answers to all the ways to see a repository; and whether lists hold it, as 200 or 404."""
    paths = (f"/api/models/{repo}", f"/api/models/{repo}/tree/main", f"/{repo}/resolve/main/a.txt")
    found = {hub.call("GET", path, token=token).status for path in paths}
    basic = (
        {}
        if token is None
        else {"Authorization": "Basic " + base64.b64encode(f"{who(hub, token)}:{token}".encode()).decode()}
    )
    found.add(hub.call("GET", f"/{repo}", None, None, **basic).status)
    listed = {one["id"] for one in hub.call("GET", "/api/models", token=token).json()}
    page = hub.call("GET", f"/?search={repo}", None, None, **basic).body.decode()
    assert (f'href="/{repo}"' in page) == (repo in listed)
    return found | {200 if repo in listed else 404}


def who(hub: Hub, token: str) -> str:
    return str(hub.call("GET", "/api/whoami-v2", token=token).json()["name"])


def test_a_hand_in(school: Hub, teacher: str, students: dict[str, str]) -> None:
    """Before the deadline its author pushes; after it nobody but the teacher; before the release only they see it."""
    ada, bob, eve = students["ada"], students["bob"], students["eve"]
    run(school, "set-assignment", "class/hw1", "--deadline", until_the(timedelta(hours=1)))
    assert refusal(create(school, ada, "class/hw1-bob")) == "class/hw1-bob is not yours. Hand in to class/hw1-ada."
    assert create(school, ada, "class/hw1-ada").status == 200
    assert push(school, ada, "class/hw1-ada").status == 200
    assert visible(school, "class/hw1-ada", ada) == visible(school, "class/hw1-ada", teacher) == {200}
    for token in (bob, eve):
        assert visible(school, "class/hw1-ada", token) == {404}
        assert push(school, token, "class/hw1-ada").status == 404
    assert visible(school, "class/hw1-ada", None) == {401, 404}
    assert create(school, bob, "class/hw1-ADA").status == 403
    assert create(school, bob, "class/hw1").status == 200, "that is no hand-in"
    move = {"fromRepo": "class/hw1", "toRepo": "class/hw1-ada"}
    assert school.call("POST", "/api/repos/move", move, bob).status == 403

    run(school, "set-assignment", "class/hw1", "--deadline", until_the(-timedelta(seconds=1)))
    for answer in (
        push(school, ada, "class/hw1-ada", "late.txt"),
        create(school, bob, "class/hw1-bob"),
        school.call("PUT", "/api/models/class/hw1-ada/settings", {"visibility": "public"}, ada),
        school.call("DELETE", "/api/repos/delete", {"name": "hw1-ada", "organization": "class"}, ada),
        school.call("POST", "/api/repos/move", {"fromRepo": "class/hw1-ada", "toRepo": "ada/x"}, ada),
        school.call("POST", "/class/hw1-ada.git/info/lfs/objects/batch", {"operation": "upload", "objects": []}, ada),
    ):
        assert "The deadline of class/hw1 was 20" in refusal(answer)
        assert "Ask an owner of class." in refusal(answer)
    assert push(school, teacher, "class/hw1-ada", "mark.txt").status == 200
    assert school.call("GET", "/api/models/class/hw1-ada/tree/main", token=ada).status == 200, "reading goes on"

    rows = json.loads(run(school, "list-hand-ins", "class/hw1", "--json"))
    assert [(one["user"], one["repository"], one["last_push"] is None) for one in rows if one["user"] in students] == [
        ("ada", "class/hw1-ada", False),
        ("bob", "class/hw1-bob", True),
    ]
    assert "class/hw1\t" in run(school, "list-hand-ins")
    assert "no assignment" in run(school, "list-hand-ins", "class/none", fails=True)

    run(school, "set-assignment", "class/hw1", "--release")
    assert visible(school, "class/hw1-ada", bob) == visible(school, "class/hw1-ada", None) == {200}
    assert push(school, ada, "class/hw1-ada").status == 403, "the deadline stays"
    run(school, "set-assignment", "class/hw1", "--hide")
    assert visible(school, "class/hw1-ada", bob) == {404}


def test_a_commit_that_begins_in_time_and_ends_late_is_late(
    school: Hub, teacher: str, students: dict[str, str]
) -> None:
    """A slow body would else be a way to have more time."""
    import http.client

    run(school, "set-assignment", "class/slow", "--deadline", until_the(timedelta(hours=1)))
    assert create(school, students["ada"], "class/slow-ada").status == 200
    connection = http.client.HTTPConnection(school.address, timeout=30)
    connection.putrequest("POST", "/api/models/class/slow-ada/commit/main")
    connection.putheader("Authorization", f"Bearer {students['ada']}")
    body = b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":"a","content":"eA=="}}\n'
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:50])
    run(school, "set-assignment", "class/slow", "--deadline", until_the(-timedelta(seconds=1)))
    connection.send(body[50:])
    answer = connection.getresponse()
    connection.close()
    assert answer.status == 403
    files = school.call("GET", "/api/models/class/slow-ada/tree/main", token=teacher).json()
    assert [one["path"] for one in files] == [".gitattributes"]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("class/hw1-x", (), "cannot be told apart"),
        ("nowhere/hw1", (), "no team 'nowhere'"),
        ("class", (), "is not an assignment"),
        ("class/a/b", (), "is not an assignment"),
        ("class/new", ("--deadline", "tomorrow"), "is not a time"),
        ("class/new", ("--deadline", "2026-02-30 10:00"), "is not a time"),
    ],
)
def test_wrong_assignments(school: Hub, teacher: str, name: str, options: tuple[str, ...], said: str) -> None:
    run(school, "set-assignment", "class/hw1")
    assert said in run(school, "set-assignment", name, *options, fails=True)


def test_times_and_names_of_hand_ins() -> None:
    assert parse_time("2026-12-04T18:00+01:00") == datetime(2026, 12, 4, 17, tzinfo=UTC)
    assert parse_time("2026-12-04 18:00") == datetime(2026, 12, 4, 18).astimezone(UTC)
    hw = Assignment("class", "hw1", datetime(2026, 12, 4, 17, tzinfo=UTC))
    assert hw.due() == "2026-12-04 17:00 UTC"
    assert hw.author(RepoId("models", "class", "hw1-ada-b")) == "ada-b"
    assert hw.author(RepoId("datasets", "class", "HW1-Ada")) == "ada"
    assert hw.author(RepoId("models", "class", "hw10-ada")) is None
    assert hw.author(RepoId("models", "club", "hw1-ada")) is None


# -- quotas -----------------------------------------------------------------------------------------------------------


def test_a_quota(school: Hub, teacher: str, client: Client, tmp_path: Path) -> None:
    """It counts what is on the disk, wherever a user created it; the client shows the refusal as it is."""
    token = school.add_user("max-quota", "--team", "class", "--as", "contributor", "--quota", "300kB")
    for repo in ("max-quota/m", "class/of-max"):
        assert create(school, token, repo).status == 200
    assert push(school, token, "max-quota/m", "a.bin", os.urandom(100_000)).status == 200
    assert push(school, token, "class/of-max", "b.bin", os.urandom(100_000)).status == 200
    message = refusal(push(school, token, "max-quota/m", "c.bin", os.urandom(150_000)))
    assert message.startswith("max-quota has 2")
    assert "of 300 kB on this hub" in message
    assert "150 kB more do not fit" in message
    assert push(school, token, "max-quota/m", "small.txt", b"x" * 1000).status == 200
    objects = [{"oid": "0" * 64, "size": 200_000}]
    batch = {"operation": "upload", "objects": objects}
    assert school.call("POST", "/max-quota/m.git/info/lfs/objects/batch", batch, token).status == 413
    asked = {"files": [{"path": "d.bin", "size": 200_000, "sample": ""}]}
    assert school.call("POST", "/api/models/max-quota/m/preupload/main", asked, token).status == 413

    def upload(api: Any, folder: str) -> None:
        path = Path(folder) / "big.bin"
        path.write_bytes(b"0" * 250_000)
        api.upload_file(path_or_fileobj=str(path), path_in_repo="big.bin", repo_id="max-quota/m")

    theirs = type(client)(tmp_path / "home", school.endpoint, token)
    with pytest.raises(client.Failed, match=r"250 kB more do not fit\. Delete a repository, or ask the hub's keeper"):
        theirs(upload, tmp_path)
    with pytest.raises(client.Failed, match="250 kB more do not fit"):
        theirs(upload, tmp_path, HF_HUB_DISABLE_XET="1")
    assert push(school, teacher, "class/of-max", "t.bin", os.urandom(150_000)).status == 413, "it is still max's"
    (row,) = [one for one in json.loads(run(school, "list-users", "--json")) if one["name"] == "max-quota"]
    assert 200_000 < row["used"] < 300_000 == row["quota"]
    assert school.call("DELETE", "/api/repos/delete", {"name": "of-max", "organization": "class"}, token).status == 200
    assert push(school, token, "max-quota/m", "c.bin", os.urandom(150_000)).status == 200
    run(school, "set-quota", "none", "max-quota")
    assert push(school, token, "max-quota/m", "e.bin", os.urandom(500_000)).status == 200


def test_a_quota_for_everybody(serve: Callable[..., Hub], tmp_path: Path) -> None:
    """And of many pushes at once only those land that fit."""
    hub = serve(tmp_path / "hub")
    token, rich = hub.add_user("ada"), hub.add_user("rich", "--quota", "none")
    assert create(hub, token, "ada/m").status == create(hub, rich, "rich/m").status == 200
    run(hub, "set-quota", "500kB")
    assert push(hub, rich, "rich/m", "a.bin", b"0" * 600_000).status == 200
    answers: list[int] = []
    pushes = [
        threading.Thread(
            target=lambda n=n: answers.append(push(hub, token, "ada/m", f"{n}.bin", os.urandom(150_000)).status)
        )
        for n in range(8)
    ]
    for one in pushes:
        one.start()
    for one in pushes:
        one.join()
    assert sorted(answers) == [200] * 3 + [413] * 5


def test_sizes() -> None:
    assert [parse_size(text) for text in ("2GB", "1.5 mb", "300", "0")] == [2 * 10**9, 1_500_000, 300, 0]
    assert size_text(300_000) == "300 kB"
    for wrong in ("", "-1", "GB", "1e3", "2 parsecs"):
        with pytest.raises(Exception, match="is not a size"):
            parse_size(wrong)


# -- leaderboard ------------------------------------------------------------------------------------------------------


def test_a_leaderboard(serve: Callable[..., Hub], tmp_path: Path) -> None:
    """The best first, by what the plugins say of a metric; hand-ins only for those who may see them."""
    hub = serve(tmp_path / "hub")
    teacher = hub.add_user("teacher", "--team", "class")
    scores = {"ada": 0.91, "bob": 0.97, "cat": 0.91, "dan": float("nan")}
    run(hub, "set-assignment", "class/hw")
    for name, score in scores.items():
        token = hub.add_user(name, "--team", "class", "--as", "contributor")
        assert create(hub, token, f"class/hw-{name}").status == 200
        content = release(accuracy=score, nll=100 - score, own_score=score)
        assert push(hub, token, f"class/hw-{name}", "config.json", content).status == 200
    assert create(hub, teacher, "teacher/other").status == 200
    assert push(hub, teacher, "teacher/other", "config.json", release(accuracy=0.99)).status == 200

    rows = json.loads(run(hub, "leaderboard", "accuracy", "--assignment", "class/hw", "--json"))
    assert [(one["rank"], one["repository"], one["value"]) for one in rows] == [
        (1, "class/hw-bob", 0.97),
        (2, "class/hw-ada", 0.91),
        (2, "class/hw-cat", 0.91),
    ]
    rows = json.loads(run(hub, "leaderboard", "nll", "--data", "digits", "--json"))
    assert rows[0]["repository"] == "class/hw-bob", "of nll the lowest is the best"
    assert "1\tteacher/other\t0.99\t" in run(hub, "leaderboard", "accuracy")
    assert "no installed plugin says which 'own_score' is better" in run(hub, "leaderboard", "own_score", fails=True)
    assert (
        run(hub, "leaderboard", "own_score", "--lowest-first", "--namespace", "class").splitlines()[1].startswith("1\t")
    )
    assert "They tell: accuracy, nll, own_score" in run(hub, "leaderboard", "fid", fails=True)


def test_numbers_that_were_not_measured_alike_are_not_compared(serve: Callable[..., Hub], tmp_path: Path) -> None:
    hub = serve(tmp_path / "hub")
    token = hub.add_user("ada")
    for name, split, n in (("a", "test", 300), ("b", "test", 299), ("c", "train", 300), ("d", "test", 300)):
        protocol = {"dataset": "digits", "split": split, "n": n}
        metric = {"metric": "accuracy", "value": 0.5, "protocol": protocol}
        assert create(hub, token, f"ada/{name}").status == 200
        content = json.dumps({"metrics": [metric]}).encode()
        assert push(hub, token, f"ada/{name}", "config.json", content).status == 200
    rows = json.loads(run(hub, "leaderboard", "accuracy", "--json"))
    assert [(one["rank"], one["repository"], one["split"], one["n"]) for one in rows] == [
        (1, "ada/a", "test", "300"),
        (1, "ada/d", "test", "300"),
        (1, "ada/b", "test", "299"),
        (1, "ada/c", "train", "300"),
    ]


# -- log --------------------------------------------------------------------------------------------------------------


def test_the_log(serve: Callable[..., Hub], tmp_path: Path) -> None:
    """Who did what, and what was refused; only ever added to, and no title of a commit can disturb it."""
    hub = serve(tmp_path / "hub")
    ada, bob = hub.add_user("ada"), hub.add_user("bob")
    assert create(hub, ada, "ada/m").status == 200
    title = 'evil \x1b[31m "\n{"who":"root"}'
    assert hub.commit("ada/m", ada, [], summary=title).status == 200
    assert push(hub, ada, "ada/m").status == 200
    assert push(hub, bob, "ada/m").status == 403
    assert push(hub, "wrong", "ada/m").status == 401
    assert hub.call("POST", "/api/models/ada/m/tag/main", {"tag": "v1"}, ada).status == 200
    assert hub.call("POST", "/api/repos/move", {"fromRepo": "ada/m", "toRepo": "ada/n"}, ada).status == 200
    assert hub.call("DELETE", "/api/repos/delete", {"name": "n"}, ada).status == 200
    run(hub, "new-token", "bob")
    events = json.loads(run(hub, "log", "--json"))
    assert [(one["who"].split()[0], one["did"], one["what"], "refused" in one) for one in events] == [
        ("keeper", "add-user", "ada", False),
        ("keeper", "add-user", "bob", False),
        ("ada", "create", "ada/m", False),
        ("ada", "commit", "ada/m", False),
        ("ada", "commit", "ada/m", False),
        ("bob", "commit", "ada/m", True),
        ("ada", "create tag", "ada/m", False),
        ("ada", "move", "ada/m", False),
        ("ada", "delete", "ada/n", False),
        ("keeper", "new-token", "bob", False),
    ]
    assert events[2]["address"] == "127.0.0.1"
    assert events[7]["more"] == "to ada/n"
    lines = (hub.folder / "log.jsonl").read_bytes()
    assert lines.count(b"\n") == len(events)
    assert stat.S_IMODE((hub.folder / "log.jsonl").stat().st_mode) == 0o600
    assert ada.encode() not in lines
    shown = run(hub, "log", "--user", "ada", "--last", 3)
    assert [line.split("\t")[2] for line in shown.splitlines()] == ["did", "create tag", "move", "delete"]
    assert "\x1b" not in run(hub, "log")
    assert len(json.loads(run(hub, "log", "--about", "ada/m", "--json"))) == 6
    with open(hub.folder / "log.jsonl", "ab") as file:
        file.write(b'{"when": cut')
    assert json.loads(run(hub, "log", "--json")) == events, "a line that was cut short is left out"
