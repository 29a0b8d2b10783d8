"""Which architectures and parsers the installed engines know, read from their own tables.

The tables are read as text: to import vLLM or transformers for them takes seconds, and a model is
looked up while somebody waits. Nor are they parsed: two threads that do so at once break Python
3.11's parser. Slow the first time: call it in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

# vLLM's tables, by the task that models in them are for.
VLLM_TABLES = {
    "_TEXT_GENERATION_MODELS": "text-generation",
    "_MULTIMODAL_MODELS": "text-generation",
    "_TRANSFORMERS_SUPPORTED_MODELS": "text-generation",
    "_EMBEDDING_MODELS": "embedding",
    "_SEQUENCE_CLASSIFICATION_MODELS": "rerank",
}
TABLE = re.compile(r"^(\w+) = (?:OrderedDict\()?[\[{(]?\n(.*?)^[\])}]", re.MULTILINE | re.DOTALL)
KEY = re.compile(r'^    "(\w+)":', re.MULTILINE)
LITERAL = re.compile(r"^QuantizationMethods = Literal\[(.*?)^\]", re.MULTILINE | re.DOTALL)
METHOD = re.compile(r'^    "([\w-]+)",', re.MULTILINE)
WORD = re.compile(r'"(\w+)"')


@lru_cache(maxsize=1)
def vllm_tasks() -> dict[str, frozenset[str]]:
    """Tasks of each architecture that vLLM knows."""
    found: dict[str, set[str]] = {}
    for name, table in _tables("vllm", "model_executor/models/registry.py"):
        for architecture in KEY.findall(table) if name in VLLM_TABLES else ():
            found.setdefault(architecture, set()).add(VLLM_TABLES[name])
    return {name: frozenset(tasks) for name, tasks in found.items()}


@lru_cache(maxsize=1)
def transformers_classes() -> frozenset[str]:
    """Every model class that transformers' auto classes may choose."""
    tables = _tables("transformers", "models/auto/modeling_auto.py")
    named = (WORD.findall(table) for name, table in tables if name.endswith("MAPPING_NAMES"))
    return frozenset(word for words in named for word in words)


@lru_cache(maxsize=1)
def tool_parsers() -> frozenset[str]:
    """vLLM's readers of tool calls, by name."""
    return _names("tool_parsers/__init__.py", "_TOOL_PARSERS_TO_REGISTER")


@lru_cache(maxsize=1)
def reasoning_parsers() -> frozenset[str]:
    """vLLM's readers of reasoning, by name."""
    return _names("reasoning/__init__.py", "_REASONING_PARSERS_TO_REGISTER")


@lru_cache(maxsize=1)
def quantizations() -> frozenset[str]:
    """Formats of weights in few bits that vLLM reads."""
    text = _text("vllm", "model_executor/layers/quantization/__init__.py")
    found = LITERAL.search(text)
    return frozenset(METHOD.findall(found[1]) if found else ())


def _names(path: str, wanted: str) -> frozenset[str]:
    found = (KEY.findall(table) for name, table in _tables("vllm", path) if name == wanted)
    return frozenset(key for keys in found for key in keys)


def _tables(package: str, path: str) -> Iterator[tuple[str, str]]:
    """Name and text of the tables of a module of a package."""
    yield from TABLE.findall(_text(package, path))


def _text(package: str, path: str) -> str:
    """A module of a package, as text; empty where that is not installed."""
    spec = find_spec(package)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return "".join((Path(folder) / path).read_text() for folder in folders)
