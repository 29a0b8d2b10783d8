"""Structures that answers must follow, compiled by xgrammar for one tokenizer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from inference.engines.grammar_child import SOURCE
from inference.errors import InvalidRequest

CACHE_BYTES = 128 * 2**20


class Structures:
    """Compiles on whatever thread asks; what is asked again is remembered."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = list(ends)
        self._lock = threading.Lock()
        self._compiler: Any = None

    def compiled(self, constraint: Sequence[str]) -> Any:
        """A constraint (kind and text) as xgrammar follows it. Raises InvalidRequest."""
        kind, text = constraint
        compiler = self._ready()
        try:
            match kind:
                case "json":
                    # Free white space between JSON's tokens is where small models never stop.
                    return compiler.compile_json_schema(text, any_whitespace=False)
                case "json_object":
                    return compiler.compile_json_schema('{"type":"object"}', any_whitespace=False)
                case "regex":
                    return compiler.compile_regex(text)
                case "grammar" if "::=" not in text:
                    return compiler.compile_lark(text)
                case "grammar":
                    return compiler.compile_grammar(text)
                case _:
                    return compiler.compile_structural_tag(text)
        except (RuntimeError, ValueError, TypeError) as error:
            said = " ".join(SOURCE.sub("", str(error)).split())
            message = f"This structure cannot be followed: {said}"[:500]
            raise InvalidRequest(message, "response_format") from error

    def matcher(self, constraint: Sequence[str]) -> Any:
        """Follows one answer."""
        import xgrammar

        ends = self._ends or None
        return xgrammar.GrammarMatcher(self.compiled(constraint), override_stop_tokens=ends)

    def _ready(self) -> Any:
        import xgrammar

        with self._lock:
            if self._compiler is None:
                info = xgrammar.TokenizerInfo.from_huggingface(
                    self._tokenizer, vocab_size=self._vocabulary
                )
                self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=CACHE_BYTES)
            return self._compiler
