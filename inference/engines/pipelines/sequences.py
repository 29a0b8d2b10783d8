"""Tasks that turn one text into another: version 5 of transformers has no pipelines for them."""

from __future__ import annotations

from typing import Any, ClassVar

from inference.engines.program import Call
from inference.errors import ContextLengthExceeded, InvalidRequest

from .kind import GeneratingKind, sampled, text
from .texts import longest

GENERATION = "generate_parameters"


class TextToText(GeneratingKind):
    """[{generated_text}]"""

    auto = "AutoModelForSeq2SeqLM"
    part = "AutoTokenizer"
    lists = True
    listed = True
    answer: ClassVar[str] = "generated_text"

    def read(self, call: Call) -> str:
        found = self.prefix() + text(call.inputs)
        cut = call.parameters.get("truncation") not in (None, "do_not_truncate")
        limit = longest(self.reader, self.model.config)
        length = len(self.reader(found, verbose=False)["input_ids"])
        if limit is not None and length > limit and not cut:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {limit} tokens. However, your text has "
                f"{length}.",
                "inputs",
            )
        return found

    def prefix(self) -> str:
        """What the model was trained to see before the text of this task."""
        params = getattr(self.model.config, "task_specific_params", None) or {}
        return str(params.get(self.task, {}).get("prefix") or "")

    def options(self, call: Call) -> dict[str, Any]:
        kept = ("src_lang", "tgt_lang", "clean_up_tokenization_spaces")
        found = {k: v for k, v in call.parameters.items() if k in kept}
        return found | {"generation": sampled(call.parameters, GENERATION)}

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        encoded = self.encoded(inputs, options)
        ids = self.generate(encoded, options["generation"] | self.begin(options))
        texts = self.reader.batch_decode(
            ids,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=options.get("clean_up_tokenization_spaces"),
        )
        return [{self.answer: each} for each in texts]

    def encoded(self, inputs: list[Any], options: dict[str, Any]) -> Any:
        """Tokens of the texts. What is too long and still here may be cut."""
        return self.reader(
            inputs,
            padding=True,
            truncation=True,
            max_length=longest(self.reader, self.model.config),
            return_tensors="pt",
        )

    def begin(self, options: dict[str, Any]) -> dict[str, Any]:
        """How the answer begins."""
        return {}


class Summarization(TextToText):
    """[{summary_text}]"""

    answer = "summary_text"


class Translation(TextToText):
    """[{translation_text}]"""

    answer = "translation_text"

    def prefix(self) -> str:
        params = getattr(self.model.config, "task_specific_params", None) or {}
        own = [v for k, v in params.items() if k.startswith("translation") and "prefix" in v]
        return str(own[0]["prefix"]) if len(own) == 1 else ""

    def encoded(self, inputs: list[Any], options: dict[str, Any]) -> Any:
        if source := options.get("src_lang"):
            self._known(source, "src_lang")
            self.reader.src_lang = source
        return super().encoded(inputs, options)

    def begin(self, options: dict[str, Any]) -> dict[str, Any]:
        target = options.get("tgt_lang")
        if not target:
            return {}
        return {"forced_bos_token_id": self._known(target, "tgt_lang")}

    def _known(self, language: str, field: str) -> int:
        """The id of the token that stands for a language. Raises InvalidRequest."""
        param = f"parameters.{field}"
        if not hasattr(self.reader, "src_lang"):
            raise InvalidRequest("This model knows one pair of languages only.", param)
        if find := getattr(self.reader, "get_lang_id", None):
            try:
                return int(find(language))
            except KeyError:
                raise InvalidRequest(f"This model has no {language[:40]!r}.", param) from None
        found = self.reader.convert_tokens_to_ids(language)
        if found is None or found == self.reader.unk_token_id:
            raise InvalidRequest(f"This model has no {language[:40]!r}.", param)
        return int(found)
