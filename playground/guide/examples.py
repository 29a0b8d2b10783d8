"""The programs of `/docs`. Their text is in `templates/docs/examples`, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.conf import settings

FOLDER = Path(settings.BASE_DIR) / "templates" / "docs" / "examples"
LANGUAGES = {
    ".json": "json", ".mjs": "javascript", ".py": "python", ".sh": "bash", ".yaml": "yaml",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """A file of FOLDER under its title; `install` is what it needs, `words` what to know of it."""

    file: str
    title: str
    install: str = ""
    words: str = ""

    @property
    def name(self) -> str:
        """The file's name without its ending: what its element on the page is called."""
        return Path(self.file).stem

    @property
    def language(self) -> str:
        """What colours it."""
        return LANGUAGES[Path(self.file).suffix]

    def text(self, values: dict[str, str]) -> str:
        """The program, with this server's values in the place of words such as YOUR_MODEL."""
        found = _read(self.file)
        for word, value in values.items():
            found = found.replace(word, value)
        return found


@dataclass(frozen=True, slots=True)
class Section:
    """Programs of one kind."""

    name: str
    title: str
    words: str
    examples: tuple[Example, ...]


@lru_cache
def _read(file: str) -> str:
    return (FOLDER / file).read_text().rstrip()


SECTIONS = (
    Section(
        "python",
        "Python",
        "OpenAI’s own package. Give it this server’s address and change nothing else.",
        (
            Example("openai_stream.py", "The answer, word by word", "pip install openai"),
            Example(
                "openai_waiting.py",
                "A whole answer, however long the queue is",
                "pip install openai",
            ),
            Example(
                "openai_028.py",
                "The package of old",
                'pip install "openai==0.28.1"',
                "Programs that were written before November 2023 run too.",
            ),
        ),
    ),
    Section(
        "shell",
        "Shell",
        "Nothing but curl.",
        (
            Example("curl.sh", "A whole answer"),
            Example("curl_stream.sh", "Word by word, as server-sent events"),
        ),
    ),
    Section(
        "javascript",
        "JavaScript",
        "In Node, as a module. A page of yours may call this server from a browser where its "
        "operator allows your page’s origin (CORS_ORIGINS).",
        (
            Example("openai_node.mjs", "OpenAI’s client", "npm install openai"),
            Example("fetch.mjs", "No package at all"),
        ),
    ),
    Section(
        "frameworks",
        "LangChain and LiteLLM",
        "And everything else that speaks to OpenAI: it wants a base URL, a key and a model.",
        (
            Example("langchain_chat.py", "LangChain", "pip install langchain-openai"),
            Example("litellm_chat.py", "LiteLLM", "pip install litellm"),
        ),
    ),
    Section(
        "huggingface",
        "Hugging Face",
        "This server speaks Hugging Face’s inference API as well, for models of every task.",
        (
            Example("huggingface.py", "A chat", "pip install huggingface_hub"),
            Example("huggingface_task.py", "A model of any task", "pip install huggingface_hub"),
        ),
    ),
    Section(
        "editors",
        "Editors and other programs",
        "Whatever takes an OpenAI base URL works. Where it asks for a provider, choose “OpenAI "
        "compatible”.",
        (
            Example(
                "environment.sh",
                "By the environment",
                words="Most programs that use OpenAI’s package read these two and need no more.",
            ),
            Example("continue.yaml", "Continue (VS Code, JetBrains): config.yaml"),
            Example(
                "zed.json",
                "Zed: settings.json",
                words="It asks for the key in its own window.",
            ),
        ),
    ),
)
