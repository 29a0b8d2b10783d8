"""A language model in a worker: prompts are read on one thread, answers grow on the other."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inference.engines.loading import Loading, check_repository
from inference.engines.program import Call
from inference.engines.text.generator import Generator, Question
from inference.engines.text.prompts import Prompts
from inference.engines.text.sampling import Sampling
from inference.engines.text.senses import Senses, processor_of
from inference.engines.text.structures import Structures
from inference.errors import InvalidRequest, UnsupportedParameter

# As vLLM reads them from a model's generation_config.
DEFAULTS = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p", "max_new_tokens")
CONTEXT = 2048


class TextProgram:
    """A model that goes on with text, with its tokenizer; `loading` are the fields of `Loading`.

    One that takes pictures or sounds beside text is loaded with its processor.

    `budget` is for the KV cache, in bytes (0: no bound).
    """

    def __init__(self, context: int | None, max_rows: int, budget: int, **loading: Any) -> None:
        self._loading = Loading(**loading)
        self._context = context
        self._max_rows = max_rows
        self._budget = budget
        self._senses: Senses | None = None
        self._perceiving: dict[int, Question] = {}

    def load(self) -> Mapping[str, Any]:
        """Tokenizer, template, then the weights."""
        from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, AutoTokenizer

        loading = self._loading
        check_repository(loading)
        tokenizer = AutoTokenizer.from_pretrained(loading.source, **loading.repository())
        processor = processor_of(loading)
        self._prompts = Prompts(tokenizer, getattr(processor, "chat_template", None))
        self._prompts.try_out()
        auto = AutoModelForCausalLM if processor is None else AutoModelForMultimodalLM
        model = auto.from_pretrained(loading.source, **loading.weights())
        self.model = model.eval()
        if processor is not None:
            self._prompts.look_for_parts()
            self._senses = Senses(processor, model.dtype, loading.device)
        return self._ready(self.model, tokenizer)

    def _ready(self, model: Any, tokenizer: Any) -> Mapping[str, Any]:
        config = model.config.get_text_config()
        self._vocabulary = int(config.vocab_size)
        ends = _ends(model.generation_config, tokenizer)
        self._structures = Structures(tokenizer, self._vocabulary, ends)
        # Tokenizers are not made for two threads: the other one reads prompts.
        own = copy.deepcopy(tokenizer)
        device, budget = self._loading.device, self._budget
        self._generator = Generator(
            model, own, self._structures, ends, device, self._max_rows, budget
        )
        return {
            "max_model_len": _context(config, tokenizer, self._context),
            "vocabulary": self._vocabulary,
            "model_type": config.model_type,
            "defaults": _defaults(model.generation_config),
            "chat": self._prompts.has_template,
            **self._takes(),
        }

    def _takes(self) -> dict[str, Any]:
        """What has a place in a message beside text; `window`: seconds of a sound that it hears."""
        senses = self._senses if self._prompts.in_parts else None
        return {
            "pictures": senses is not None and senses.sees,
            "sounds": senses is not None and senses.hears,
            "window": senses.window if senses is not None else None,
        }

    # --- on the preparing thread -----------------------------------------------------------------

    def prepare(self, call: Call) -> Any:
        """Text and tokens of a prompt; a structure, if there is one, is compiled on the way."""
        asked = call.inputs
        constraint = call.parameters.get("constraint")
        if constraint:
            self._structures.compiled(constraint)
        if call.task == "detokenize":
            self._check_ids(asked["ids"], "tokens")
            return {"text": self._prompts.text(asked["ids"])}
        if asked.get("messages") is not None:
            text = self._prompts.chat(asked["messages"], asked["tools"], asked["kwargs"])
            if self._senses is not None and asked.get("files"):
                ids = self._senses.read(text, asked["files"], asked["fields"])[0]
            else:
                ids = self._prompts.tokens(text, special=bool(asked.get("special")))
        elif isinstance(asked["prompt"], str):
            text = asked["prompt"]
            ids = self._prompts.tokens(text, special=asked.get("special") is not False)
        else:
            ids = asked["prompt"]
            self._check_ids(ids, "prompt")
            text = self._prompts.text(ids)
        strings = self._prompts.strings(ids) if asked.get("strings") else None
        return {"text": text, "ids": ids, "strings": strings}

    def _check_ids(self, ids: Sequence[int], field: str) -> None:
        bad = next((i for i in ids if not 0 <= i < self._vocabulary), None)
        if bad is not None:
            raise InvalidRequest(f"Token id {bad} is not in the vocabulary.", field)

    # --- on the main thread ----------------------------------------------------------------------

    def begin(self, key: int, call: Call) -> None:
        """Take a prompt up; `inputs` has its tokens and those of an answer that goes on."""
        sampling = Sampling(**call.parameters)
        question = Question(key, call.inputs["ids"], call.inputs.get("said") or [], sampling)
        if self._senses is not None and call.inputs.get("files"):
            self._perceiving[key] = question
            self._senses.begin(key, call.inputs)
        else:
            self._generator.add(question)

    def step(self) -> Iterable[tuple[int, Any]]:
        """One more token of each answer."""
        return [*self._perceive(), *self._generator.step()]

    def _perceive(self) -> Iterable[tuple[int, Any]]:
        """Let those go on whose pictures and sounds are ready; what could not be read ends."""
        if self._senses is None:
            return
        for key, seen in self._senses.perceived(patient=self._generator.is_idle):
            question = self._perceiving.pop(key)
            if isinstance(seen, Exception):
                yield key, seen
            else:
                question.seen = seen
                self._generator.add(question)

    def drop(self, key: int) -> None:
        """Nobody reads this answer any more."""
        if self._perceiving.pop(key, None) is not None and self._senses is not None:
            self._senses.drop(key)
        self._generator.drop(key)

    def parts(self, call: Call) -> None:
        """Never in parts."""

    def size(self, call: Call) -> int:
        """Of no account."""
        return 0

    def run(self, calls: Sequence[Call]) -> Sequence[Any]:
        """It answers by streams only."""
        return [UnsupportedParameter("This model answers in text only.", "model")] * len(calls)


def _ends(generation_config: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer."""
    given = generation_config.eos_token_id
    found = list(given) if isinstance(given, list | tuple) else [given]
    return sorted({int(i) for i in (*found, tokenizer.eos_token_id) if i is not None})


def _context(config: Any, tokenizer: Any, wanted: int | None) -> int:
    longest = getattr(config, "max_position_embeddings", None)
    if not longest:
        limit = tokenizer.model_max_length
        longest = limit if limit < 10**9 else CONTEXT
    return min(wanted or int(longest), int(longest))


def _defaults(generation_config: Any) -> dict[str, Any]:
    said = generation_config.to_diff_dict()
    found = {name: said[name] for name in DEFAULTS if said.get(name) is not None}
    if "max_new_tokens" in found:
        found["max_tokens"] = found.pop("max_new_tokens")
    return found
