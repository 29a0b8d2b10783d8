"""Tasks whose input is a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from inference.engines.program import Call
from inference.errors import ContextLengthExceeded, InvalidRequest

from .kind import Kind, PipelineKind, labels, template, text

# Their positions begin after the padding token's.
SHIFTED = {"camembert", "longformer", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta"}
DEFAULT_LABELS = 5
# Every model spells its own; callers may write either of the usual two.
MASKS = ("[MASK]", "<mask>")


def longest(tokenizer: Any, config: Any) -> int | None:
    """So many tokens the model takes; None where nothing is said."""
    said = [tokenizer.model_max_length]
    if positions := getattr(config, "max_position_embeddings", None):
        said.append(positions - (2 if config.model_type in SHIFTED else 0))
    least = min(said)
    return least if least < 10**9 else None


class TextKind(PipelineKind):
    """A text goes in; one that is too long is refused, not cut."""

    lists = True

    def read(self, call: Call) -> Any:
        found = text(call.inputs)
        limit = longest(self.pipe.tokenizer, self.pipe.model.config)
        if limit is not None and not self.cuts(call):
            length = len(self.pipe.tokenizer(found, verbose=False)["input_ids"])
            if length > limit:
                raise ContextLengthExceeded(
                    f"This model's maximum context length is {limit} tokens. However, your text "
                    f"has {length}.",
                    "inputs",
                )
        return found

    def cuts(self, call: Call) -> bool:
        """Whether a long text is cut, or read in pieces."""
        return False


class TextClassification(TextKind):
    """[[{label, score}, …]]"""

    listed = True

    def options(self, call: Call) -> dict[str, Any]:
        return {"top_k": DEFAULT_LABELS, **call.parameters}


class TokenClassification(TextKind):
    """[{entity_group or entity, score, word, start, end}, …]"""

    def cuts(self, call: Call) -> bool:
        return "stride" in call.parameters

    def options(self, call: Call) -> dict[str, Any]:
        if call.parameters.get("stride") and not self.pipe.tokenizer.is_fast:
            raise InvalidRequest("This model's tokenizer has no stride.", "parameters.stride")
        return {"aggregation_strategy": "simple", **call.parameters}


class FillMask(TextKind):
    """[{score, token, token_str, sequence}, …]; one such list for each of several masks."""

    def read(self, call: Call) -> Any:
        mask = self.pipe.tokenizer.mask_token
        spelled = call.inputs
        if isinstance(spelled, str):
            for other in MASKS:
                spelled = spelled.replace(other, mask)
        found = super().read(Call(call.task, spelled, call.parameters))
        if mask not in found:
            raise InvalidRequest(f"The text has no {mask} to fill.", "inputs")
        return found


class ZeroShotClassification(TextKind):
    """[{label, score}, …]"""

    def cuts(self, call: Call) -> bool:
        return True

    def read(self, call: Call) -> Any:
        labels(call)
        template(call)
        return super().read(call)

    def write(self, result: Any, call: Call) -> Any:
        pairs = zip(result["labels"], result["scores"], strict=True)
        return [{"label": label, "score": score} for label, score in pairs]


class Features(Kind):
    """Vectors of each token, or of the whole text where the model says how to pool."""

    lists = True
    listed: ClassVar[bool] = True
    model: Any
    tokenizer: Any

    def load(self) -> None:
        self.tokenizer = self.origin.part("AutoTokenizer")
        self.model = self.origin.model("AutoModel")
        self.pooled = (Path(self.origin.source) / "1_Pooling" / "config.json").exists()
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def read(self, call: Call) -> str:
        found = text(call.inputs)
        limit = longest(self.tokenizer, self.model.config)
        length = len(self.tokenizer(found, verbose=False)["input_ids"])
        if limit is not None and length > limit and not call.parameters.get("truncate"):
            raise ContextLengthExceeded(
                f"This model's maximum context length is {limit} tokens. However, your text has "
                f"{length}.",
                "inputs",
            )
        return found

    def options(self, call: Call) -> dict[str, Any]:
        if call.parameters.get("prompt_name"):
            raise InvalidRequest("This model has no prompts.", "parameters.prompt_name")
        return dict(call.parameters)

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        import torch

        self.tokenizer.truncation_side = options.get("truncation_direction") or "right"
        encoded = self.tokenizer(
            inputs,
            padding=True,
            truncation=True,
            max_length=longest(self.tokenizer, self.model.config),
            return_tensors="pt",
        ).to(self.model.device)
        with torch.inference_mode():
            states = self.model(**encoded)[0].float()
        mask = encoded["attention_mask"].bool()
        found = [each[kept] for each, kept in zip(states, mask, strict=True)]
        if self.pooled:
            found = [each.mean(dim=0) for each in found]
        if options.get("normalize"):
            found = [torch.nn.functional.normalize(each, dim=-1) for each in found]
        return [each.tolist() for each in found]


class SentenceSimilarity(Features):
    """[score, …]: how near each sentence is to the source sentence."""

    lists = False
    listed = False

    def read(self, call: Call) -> Any:
        inputs = call.inputs
        if not isinstance(inputs, dict) or not isinstance(inputs.get("sentences"), list):
            raise InvalidRequest("Expected source_sentence and sentences.", "inputs")
        texts = [inputs.get("source_sentence"), *inputs["sentences"]]
        return [super(SentenceSimilarity, self).read(Call(self.task, each)) for each in texts]

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        import torch

        found = []
        for texts in inputs:
            states = super().ask(texts, {})
            rows = [torch.tensor(each) for each in states]
            vectors = torch.stack([row if self.pooled else row.mean(dim=0) for row in rows])
            near = torch.nn.functional.cosine_similarity(vectors[:1], vectors[1:])
            found.append(near.tolist())
        return found
