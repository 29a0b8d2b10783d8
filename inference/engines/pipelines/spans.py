"""Questions about a text, answered by a piece of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.engines.program import Call
from inference.errors import InvalidRequest, LoadFailed

from .kind import Kind, text
from .questions import fields
from .texts import longest

DEFAULT_WINDOW = 384


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the text and how likely it is the answer."""

    start: int
    end: int
    score: float


class QuestionAnswering(Kind):
    """{answer, score, start, end}; a list of them with `top_k`.

    A long text is read in windows that overlap; the best spans of all of them count.
    """

    model: Any
    reader: Any

    def load(self) -> None:
        self.reader = self.origin.part("AutoTokenizer")
        self.model = self.origin.model("AutoModelForQuestionAnswering")
        if not self.reader.is_fast:
            raise LoadFailed("Its tokenizer does not tell where in the text a token stands.")

    def read(self, call: Call) -> tuple[str, str]:
        found = fields(call, "question", "context")
        question = text(found["question"], "inputs.question")
        context = text(found["context"], "inputs.context")
        most = call.parameters.get("max_question_len") or 64
        ids = self.reader(question, add_special_tokens=False)["input_ids"]
        if len(ids) > most:
            reason = f"The question has {len(ids)} tokens, and {most} are read."
            raise InvalidRequest(reason, "inputs.question")
        return question, context

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        return [self._answers(question, context, options) for question, context in inputs]

    def write(self, result: Any, call: Call) -> Any:
        return result if (call.parameters.get("top_k") or 1) > 1 else result[0]

    def _answers(
        self, question: str, context: str, options: dict[str, Any]
    ) -> list[dict[str, Any]]:
        windows = self._windows(question, context, options)
        found = self._spans(windows, options.get("max_answer_len") or 15)
        if options.get("align_to_words", True):
            found = [_whole_words(span, context) for span in found]
        if not options.get("handle_impossible_answer"):
            found = [span for span in found if span.end > span.start]
        best = sorted(_distinct(found), key=lambda span: -span.score)
        rows = [
            {"answer": context[s.start : s.end], "score": s.score, "start": s.start, "end": s.end}
            for s in best[: options.get("top_k") or 1]
        ]
        return rows or [{"answer": "", "score": 0.0, "start": 0, "end": 0}]

    def _windows(self, question: str, context: str, options: dict[str, Any]) -> Any:
        limit = longest(self.reader, self.model.config) or DEFAULT_WINDOW
        window = min(options.get("max_seq_len") or DEFAULT_WINDOW, limit)
        asked = len(self.reader(question)["input_ids"]) + 2
        if window <= asked:
            reason = "The question leaves no room for the text."
            raise InvalidRequest(reason, "parameters.max_seq_len")
        stride = min(options.get("doc_stride") or window // 2, window - asked) - 1
        return self.reader(
            question,
            context,
            truncation="only_second",
            max_length=window,
            stride=max(0, stride),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=True,
            return_tensors="pt",
        )

    def _spans(self, windows: Any, longest_answer: int) -> list[Span]:
        """The likeliest spans of each window; scores are shares of all windows together."""
        import torch

        names = set(self.reader.model_input_names)
        encoded = {k: v.to(self.model.device) for k, v in windows.items() if k in names}
        with torch.inference_mode():
            out = self.model(**encoded)
        inside = torch.tensor(
            [[s == 1 for s in windows.sequence_ids(i)] for i in range(len(windows["input_ids"]))]
        )
        # The first token stands for "no answer here".
        inside[:, 0] = True
        starts, ends = (
            x.float().cpu().masked_fill(~inside, -1e4).flatten().softmax(0).view(inside.shape)
            for x in (out.start_logits, out.end_logits)
        )
        found = []
        for i, offsets in enumerate(windows["offset_mapping"].tolist()):
            pairs = (starts[i, :, None] * ends[i, None, :]).triu().tril(longest_answer - 1)
            pairs[0, 1:] = 0
            scores, at = pairs.flatten().topk(min(64, pairs.numel()))
            for score, place in zip(scores.tolist(), at.tolist(), strict=True):
                first, last = divmod(place, pairs.shape[1])
                empty = first == 0
                start, end = (0, 0) if empty else (offsets[first][0], offsets[last][1])
                found.append(Span(start, end, score))
        return found


def _whole_words(span: Span, context: str) -> Span:
    """The span, widened to where its first and last words begin and end."""
    start, end = span.start, span.end
    if end <= start:
        return span
    while start > 0 and not context[start - 1].isspace():
        start -= 1
    while end < len(context) and not context[end].isspace():
        end += 1
    return Span(start, end, span.score)


def _distinct(spans: list[Span]) -> list[Span]:
    """Spans of one place count together."""
    found: dict[tuple[int, int], float] = {}
    for span in spans:
        place = (span.start, span.end)
        found[place] = found.get(place, 0.0) + span.score
    return [Span(start, end, min(1.0, score)) for (start, end), score in found.items()]
