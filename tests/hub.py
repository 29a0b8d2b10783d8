"""A small Hub on this machine: what huggingface_hub really asks of one, over real sockets."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from inference.requests import TokenizeRequest

if TYPE_CHECKING:
    from inference.catalogue import ModelCard
    from inference.service import InferenceService

WEIGHTS = "model.safetensors"
ASK = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)(/revision/(?P<rev>[^/]+))?")
TREE = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/tree/(?P<rev>[^/]+)")
FILE = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<path>.+)")
PIECE = 16 * 2**10
# Headers of weights and files of settings are never held back.
HELD_BYTES = 200_000


@dataclass
class Repo:
    """One repository at one commit. `gated` names the token that may have its files."""

    files: dict[str, bytes]
    pipeline_tag: str = ""
    licence: str = ""
    gated: str = ""
    commit: str = ""
    sent: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = repr(sorted((path, len(body)) for path, body in self.files.items()))
        self.commit = self.commit or hashlib.sha1(text.encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """`repos` by id. `cuts`: so many bodies end after `cut_after` bytes. `hold`: large bodies wait
    for this event in the middle."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Repo] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.cut_after = 0
        self.cuts = 0
        self.hold: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, method: str, part: str) -> int:
        """How often something like this was asked for."""
        return sum(m == method and part in path for m, path, _ in self.asked)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no news."""


class Handler(BaseHTTPRequestHandler):
    """The three questions: about a model, its tree, a file of it."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, path, self.headers.get("Range", "")))
        for pattern, say in ((FILE, self.say_file), (TREE, self.say_tree), (ASK, self.say_model)):
            if match := pattern.fullmatch(path):
                repo = self.server.repos.get(match["id"])
                if repo is None:
                    self.refuse(404, "RepoNotFound", "Repository not found")
                elif match["rev"] not in (None, "main", repo.commit):
                    self.refuse(404, "RevisionNotFound", "Invalid rev id")
                else:
                    say(repo, match)
                return
        self.refuse(404, "", "No such route")

    def say_model(self, repo: Repo, match: re.Match[str]) -> None:
        body = {
            "_id": "1",
            "id": match["id"],
            "sha": repo.commit,
            "pipeline_tag": repo.pipeline_tag or None,
            "cardData": {"license": repo.licence} if repo.licence else None,
            "gated": "manual" if repo.gated else False,
        }
        self.say_json(body)

    def say_tree(self, repo: Repo, match: re.Match[str]) -> None:
        self.say_json(
            [
                {"type": "file", "oid": etag(body), "size": len(body), "path": path}
                for path, body in repo.files.items()
            ]
        )

    def say_file(self, repo: Repo, match: re.Match[str]) -> None:
        if repo.gated:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token != repo.gated:
                self.refuse(403 if token else 401, "GatedRepo", "Access to model is restricted")
                return
        body = repo.files.get(match["path"])
        if body is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        start, end = bounds(self.headers.get("Range", ""), len(body))
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(end - start))
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{etag(body)}"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.end_headers()
        if self.command == "GET":
            self.send_body(repo, match["path"], body[start:end])

    def send_body(self, repo: Repo, path: str, body: bytes) -> None:
        hub, sent = self.server, 0
        for begin in range(0, len(body), PIECE):
            if hub.hold is not None and 2 * begin >= len(body) > HELD_BYTES:
                hub.hold.wait(30)
            piece = body[begin : begin + PIECE]
            if hub.cuts and sent + len(piece) > hub.cut_after:
                hub.cuts -= 1
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.wfile.write(piece)
            sent += len(piece)
            repo.sent[path] = repo.sent.get(path, 0) + len(piece)

    def say_json(self, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def refuse(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """In silence."""


def etag(body: bytes) -> str:
    """As the Hub names what it keeps."""
    return hashlib.sha256(body).hexdigest()


def bounds(asked: str, size: int) -> tuple[int, int]:
    """First and last byte + 1 of a Range header."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
    if match is None:
        return 0, size
    return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size


def safetensors(parameters: int, kind: str = "BF16") -> bytes:
    """A file of one tensor."""
    width = {"BF16": 2, "F32": 4}[kind]
    header = {"w": {"dtype": kind, "shape": [parameters], "data_offsets": [0, parameters * width]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(parameters * width)


CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 512,
}


def repo(parameters: int = 400_000, more: Mapping[str, bytes] | None = None, **facts: Any) -> Repo:
    """A model as large as is wanted, of files that nobody reads."""
    config = {**CONFIG, **facts.pop("config", {})}
    files = {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": safetensors(parameters),
        "tokenizer.json": b"{}",
        "README.md": b"# A model",
        **(more or {}),
    }
    facts.setdefault("pipeline_tag", "text-generation")
    return Repo({path: body for path, body in files.items() if body}, **facts)


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub, until the end of the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        if hub.hold is not None:
            hub.hold.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


async def brought(service: InferenceService, name: str = "alice/tiny") -> ModelCard:
    """The model, found and on disk; no engine is asked."""
    card = await service.find(name, may_add=True)
    await service.library.bring(card, TokenizeRequest(model=card.id))
    return card
