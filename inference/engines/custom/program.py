"""In the jail: somebody's `load` and `run` as the program of a worker."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from inference.engines.custom import hub_line
from inference.engines.custom.hints import signature_of
from inference.engines.custom.values import answer, argument
from inference.engines.program import Call, Last
from inference.errors import InvalidRequest, LoadFailed
from inference.signature import Signature, fit

CODE = "/model/model.py"
# Asked by the engine to learn that nothing runs any more.
IDLE = "idle"


class CustomProgram:
    """One call at a time; `look` only reads the code and its type hints."""

    def __init__(self, look: bool = False) -> None:
        self._look = look
        self._model: Any = None
        self._code: Any = None
        self._signature = Signature()
        self._streams: dict[int, Iterator[Any]] = {}

    def load(self) -> Mapping[str, Any]:
        """Run the code from top to bottom, then its `load`. Tracebacks go to the log."""
        if os.path.exists(hub_line.SOCKET):
            hub_line.open_line()
        self._code = _module()
        for name in ("load", "run"):
            if not callable(getattr(self._code, name, None)):
                raise LoadFailed(f"The code has no function `{name}`.")
        found = {**signature_of(self._code.run), "task": getattr(self._code, "TASK", "")}
        self._signature = Signature.of(found)
        if not self._look:
            self._model = self._code.load()
        return {"signature": found}

    def parts(self, call: Call) -> None:
        """A call is whole."""

    def size(self, call: Call) -> int:
        """All alike."""
        return 0

    def run(self, calls: Sequence[Call]) -> Sequence[Any]:
        """One after the other."""
        return [None if call.task == IDLE else self._run(call) for call in calls]

    def _run(self, call: Call) -> Any:
        found = self._code.run(self._model, **self._arguments(call))
        told = answer(self._signature.output, found)
        try:
            return fit(self._signature.output, told, "what it returned")
        except InvalidRequest as error:
            raise TypeError(f"`run` did not return what it declares. {error.message}") from error

    def _arguments(self, call: Call) -> dict[str, Any]:
        schemas = {each.name: each.schema for each in self._signature.parameters}
        return {name: argument(schemas[name], value, name) for name, value in call.inputs.items()}

    def begin(self, key: int, call: Call) -> None:
        """A chat's answer begins."""
        self._streams[key] = iter(self._code.run(self._model, **self._arguments(call)))

    def step(self) -> Iterator[tuple[int, Any]]:
        """The next piece of each answer."""
        for key, pieces in [*self._streams.items()]:
            try:
                piece = next(pieces, None)
                if piece is not None and not isinstance(piece, str):
                    kind = type(piece).__name__
                    raise TypeError(f"`run` gave something of the type {kind}, not a string")
            except Exception as error:  # whatever the code raises; its caller is told
                self.drop(key)
                yield key, error
                continue
            if piece is None:
                self.drop(key)
            yield key, Last(None) if piece is None else piece

    def drop(self, key: int) -> None:
        """Nobody waits for it any more."""
        pieces = self._streams.pop(key, None)
        try:
            if close := getattr(pieces, "close", None):
                close()
        except Exception:  # the code's own clean-up; nobody is there to be told
            traceback.print_exc()


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("model", CODE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["model"] = module
    spec.loader.exec_module(module)
    return module
