"""Compiles constraints in a process of its own: `python -m inference.engines.grammar_child FILE`.

FILE holds the tokenizer as xgrammar writes it. Each line of standard input is a JSON array of kind
and text; each line of standard output says what is wrong with it, as JSON, or null. The server ends
this process when an answer takes too long: native code cannot be stopped in any other way.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inference.engines import child

# Beyond what importing took.
MEMORY_BYTES = 2 * 2**30
STEPS = 16
# Where in its own source the library noticed.
SOURCE = re.compile(r"^\[[\d:]+\] \S+:\d+: ")


def main(file: str) -> None:
    """Answer until the server closes the pipe."""
    child.follow(os.getppid())
    import xgrammar

    info = xgrammar.TokenizerInfo.deserialize_json(Path(file).read_text())
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    _limit_memory()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Native code writes its warnings to standard output.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    answers.write("null\n")
    for line in sys.stdin:
        kind, text = json.loads(line)
        answers.write(json.dumps(_trouble(xgrammar, compiler, info, kind, text)) + "\n")


def _trouble(xgrammar: Any, compiler: Any, info: Any, kind: str, text: str) -> str | None:
    ways: dict[str, Callable[[str], Any]] = {
        "json": compiler.compile_json_schema,
        "regex": compiler.compile_regex,
        "grammar": compiler.compile_grammar if "::=" in text else compiler.compile_lark,
        "structural_tag": compiler.compile_structural_tag,
    }
    try:
        _walk(xgrammar, ways[kind](text), info.vocab_size)
    except Exception as error:  # whatever native code throws is about the text
        said = " ".join(SOURCE.sub("", str(error)).split())
        return said[:300] or type(error).__name__
    return None


def _walk(xgrammar: Any, compiled: Any, vocabulary: int) -> None:
    """A few steps: some constraints compile at once and take for ever to follow."""
    matcher = xgrammar.GrammarMatcher(compiled)
    mask = xgrammar.allocate_token_bitmask(1, vocabulary)
    for _ in range(STEPS):
        matcher.fill_next_token_bitmask(mask)
        token = _first(mask)
        if token is None:
            raise ValueError("This structure comes to a point where nothing may be said.")
        if not matcher.accept_token(token) or matcher.is_terminated():
            return


def _first(mask: Any) -> int | None:
    for i, word in enumerate(mask[0].tolist()):
        if word:
            return i * 32 + ((word & -word) & 0xFFFFFFFF).bit_length() - 1
    return None


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))


if __name__ == "__main__":
    main(sys.argv[1])
