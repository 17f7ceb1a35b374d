"""The hub's throughput on loopback, against nginx sending the same file and against copying with a sha256.

    python plugins/hub-server/benchmarks/hub_server.py [--bytes 500000000] [--rounds 7]

Download: one client reads a file to the end and throws it away; hub and nginx (where there is none, Python's
http.server) in turns. Upload: PUT of a file to a signed address, which the hub hashes, writes and syncs, against
hashing and copying the file to the same disk with a sync, in turns. Medians; ratios carry over to other machines.
"""

import argparse
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

BLOCK = 1 << 20
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def zoo(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "zoo_core.cli.main", "hub", *map(str, arguments)]


def download(address: str, path: str) -> float:
    """Seconds for the whole file."""
    connection = http.client.HTTPConnection(address)
    connection.connect()
    started = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    expected, got, buffer = int(answer.headers["Content-Length"]), 0, bytearray(BLOCK)
    while count := answer.readinto(buffer):
        got += count
    seconds = time.perf_counter() - started
    connection.close()
    if answer.status != 200 or got != expected:
        raise SystemExit(f"{address}{path}: {answer.status}, {got} of {expected} bytes")
    return seconds


def upload(address: str, path: str, file: Path) -> float:
    connection = http.client.HTTPConnection(address, blocksize=BLOCK)
    started = time.perf_counter()
    with open(file, "rb") as body:
        connection.request("PUT", path, body, {"Content-Length": str(file.stat().st_size)})
    answer = connection.getresponse()
    answer.read()
    seconds = time.perf_counter() - started
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"upload: {answer.status}")
    return seconds


def copy(source: Path, target: Path) -> float:
    """Seconds to copy, hash and sync."""
    started = time.perf_counter()
    digest = hashlib.sha256()
    with open(source, "rb", buffering=0) as reading, open(target, "wb", buffering=0) as writing:
        while block := reading.read(BLOCK):
            digest.update(block)
            writing.write(block)
        os.fsync(writing.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def call(address: str, method: str, path: str, body: bytes, token: str) -> dict[str, object]:
    connection = http.client.HTTPConnection(address)
    connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    found: dict[str, object] = json.loads(answer.read())
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status} {found}")
    return found


def fresh_upload(address: str, token: str, size: int, folder: Path) -> tuple[str, Path]:
    """A new file, and the address to send it to."""
    file = folder / "upload.bin"
    digest = hashlib.sha256()
    with open(file, "wb") as writing:
        block = os.urandom(BLOCK)
        for start in range(0, size, BLOCK):
            piece = (start.to_bytes(8, "big") + block)[: min(BLOCK, size - start)]
            writing.write(piece)
            digest.update(piece)
        writing.flush()
        os.fsync(writing.fileno())  # so that nobody's sync has to wait for this file
    asked = {"operation": "upload", "objects": [{"oid": digest.hexdigest(), "size": size}]}
    found = call(address, "POST", "/bench/m.git/info/lfs/objects/batch", json.dumps(asked).encode(), token)
    href: str = found["objects"][0]["actions"]["upload"]["href"]  # type: ignore[index]
    return "/" + href.split("/", 3)[3], file


def nginx(folder: Path, root: Path, stack: ExitStack) -> tuple[str, str]:
    """An nginx, or what stands in for it; its address and its name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root)]
        name = "Python's http.server (no nginx here)"
    else:
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, root=root))
        command, name = [program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")], "nginx"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"127.0.0.1:{port}", name
        time.sleep(0.05)
    raise SystemExit(f"{name} does not start")


def turns(rounds: int, *works: Callable[[], float]) -> list[list[float]]:
    """Each in turn, `rounds` times, after one of each that does not count."""
    found: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for at, work in enumerate(works):
            seconds = work()
            if number:
                found[at].append(seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bytes", type=int, default=500_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    size = arguments.bytes
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.chmod(folder, 0o755)  # for the user that nginx works as
        place = folder / "hub"
        server = subprocess.Popen(zoo("serve", place, "--port", 0), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        assert server.stdout is not None
        address = server.stdout.readline().decode().strip().removeprefix("http://")
        token = subprocess.run(zoo("add-user", place, "bench"), capture_output=True, check=True).stdout.decode().strip()
        call(address, "POST", "/api/repos/create", b'{"name": "m"}', token)
        path, file = fresh_upload(address, token, size, folder)
        upload(address, path, file)
        oid = path.partition("?")[0].rsplit("/", 1)[1]
        lines = [{"key": "header", "value": {"summary": "m"}}]
        lines += [{"key": "lfsFile", "value": {"path": "m.bin", "oid": oid, "size": size}}]  # type: ignore[dict-item]
        call(
            address, "POST", "/api/models/bench/m/commit/main", b"\n".join(json.dumps(x).encode() for x in lines), token
        )
        (folder / "root").mkdir(mode=0o755)
        shutil.copyfile(file, folder / "root" / "m.bin")
        other, name = nginx(folder, folder / "root", stack)

        ours, theirs = turns(
            arguments.rounds,
            lambda: download(address, "/bench/m/resolve/main/m.bin"),
            lambda: download(other, "/m.bin"),
        )
        ratio = median(t / o for o, t in zip(ours, theirs, strict=True))
        print(f"download {size / 1e6:.0f} MB: hub {size / median(ours) / 1e6:.0f} MB/s, ", end="")
        print(f"{name} {size / median(theirs) / 1e6:.0f} MB/s, throughput ratio {ratio:.2f} (target >= 0.70)")

        def put() -> float:
            where, new = fresh_upload(address, token, size, folder)
            return upload(address, where, new)

        ours, theirs = turns(max(2, arguments.rounds // 2), put, lambda: copy(file, folder / "copy.bin"))
        ratio = median(o / t for o, t in zip(ours, theirs, strict=True))
        print(f"upload {size / 1e6:.0f} MB: hub {size / median(ours) / 1e6:.0f} MB/s, ", end="")
        print(f"copy + sha256 + sync {size / median(theirs) / 1e6:.0f} MB/s, time ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
