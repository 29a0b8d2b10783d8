"""Vectors and scores of texts under transformers, as a program for a worker."""

from __future__ import annotations

import array
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.engines.loading import Loading, check_repository
from inference.engines.program import Call
from inference.engines.text.prompts import Prompts
from inference.errors import ContextLengthExceeded, InvalidRequest

# Where sentence-transformers says how the tokens' vectors become the text's.
POOLING = "1_Pooling/config.json"
CONTEXT = 512


class VectorProgram:
    """An encoder, or with `scores` a model that looks at two texts at once.

    `loading` are the fields of `Loading`. A vector has length one.
    """

    def __init__(self, scores: bool, context: int | None, **loading: Any) -> None:
        self._scores = scores
        self._limit = context
        self._loading = Loading(**loading)

    def load(self) -> Mapping[str, Any]:
        """Tokenizer and weights."""
        from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

        loading = self._loading
        check_repository(loading)
        self._tokenizer = AutoTokenizer.from_pretrained(loading.source, **loading.repository())
        self._prompts = Prompts(self._tokenizer)
        kind = AutoModelForSequenceClassification if self._scores else AutoModel
        self._model = kind.from_pretrained(loading.source, **loading.weights()).eval()
        self._pool = _pooling(Path(loading.source))
        limit = self._tokenizer.model_max_length
        places = getattr(self._model.config, "max_position_embeddings", None) or CONTEXT
        self._context = min(self._limit or limit, limit, places)
        return {"max_model_len": self._context}

    # --- on the preparing thread -----------------------------------------------------------------

    def prepare(self, call: Call) -> Any:
        """Texts, or pairs of them, as tokens: one list each, and of pairs their types."""
        asked = call.inputs
        if call.task == "detokenize":
            return {"text": self._prompts.text(asked["ids"])}
        if call.task == "tokenize":
            ids = self._prompts.tokens(asked["prompt"], special=asked.get("special") is not False)
            strings = self._prompts.strings(ids) if asked.get("strings") else None
            return {"ids": ids, "strings": strings}
        return [self._read(each, asked["truncate"], asked["field"]) for each in asked["texts"]]

    def _read(self, text: Any, truncate: int | None, field: str) -> dict[str, list[int]]:
        if isinstance(text, str):
            found = dict(self._tokenizer(text))
        elif text and isinstance(text[0], str):
            found = dict(self._tokenizer(*text))
        else:
            found = {"input_ids": list(text)}
        ids: list[int] = found["input_ids"]
        size = self._model.config.vocab_size
        if not ids or not all(0 <= each < size for each in ids):
            raise InvalidRequest("One of the texts has no tokens, or unknown ones.", field)
        most = self._context if truncate is None or truncate < 0 else min(truncate, self._context)
        if truncate is None and len(ids) > most:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {most} tokens. However, your {field} "
                f"resulted in {len(ids)} tokens.",
                field,
            )
        kept = ("input_ids", "token_type_ids")
        return {name: list(found[name])[:most] for name in kept if name in found}

    # --- on the main thread ----------------------------------------------------------------------

    def parts(self, call: Call) -> Sequence[Call]:
        """One call for each text."""
        return [Call(call.task, each) for each in call.inputs]

    def size(self, call: Call) -> int:
        """In tokens."""
        return len(call.inputs["input_ids"])

    def run(self, calls: Sequence[Call]) -> Sequence[Any]:
        """A vector each, or a score between 0 and 1."""
        import torch

        longest = max(map(self.size, calls))
        # Tokens that a caller gave have no types; those are all zero then, as in a text by itself.
        names = set.intersection(*(set(call.inputs) for call in calls))
        filling = {"input_ids": self._tokenizer.pad_token_id or 0}
        inputs = {
            name: torch.tensor(
                [_filled(call.inputs[name], longest, filling.get(name, 0)) for call in calls]
            )
            for name in names
        }
        mask = torch.tensor([_filled([1] * self.size(call), longest, 0) for call in calls])
        given = {**inputs, "attention_mask": mask}
        with torch.inference_mode():
            device = self._loading.device
            found = self._model(**{name: each.to(device) for name, each in given.items()})
            if self._scores:
                return [float(each) for each in found.logits[:, 0].float().sigmoid()]
            vectors = self._pooled(found.last_hidden_state.float(), mask.to(device))
        return [array.array("f", each.tobytes()) for each in vectors.cpu().numpy()]

    def _pooled(self, hidden: Any, mask: Any) -> Any:
        import torch

        if self._pool == "cls":
            found = hidden[:, 0]
        elif self._pool == "last":
            found = hidden[torch.arange(len(hidden)), mask.sum(1) - 1]
        else:
            weights = mask[..., None].float()
            found = (hidden * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(found, dim=-1)


def _filled(values: Sequence[int], length: int, filling: int) -> list[int]:
    return [*values, *[filling] * (length - len(values))]


def _pooling(source: Path) -> str:
    """As sentence-transformers does it with this model; else the mean."""
    file = source / POOLING
    told = json.loads(file.read_text()) if file.exists() else {}
    if told.get("pooling_mode_cls_token"):
        return "cls"
    return "last" if told.get("pooling_mode_lasttoken") else "mean"
