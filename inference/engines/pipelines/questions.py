"""Tasks that answer questions: about a text, a table, a page, a picture."""

from __future__ import annotations

from typing import Any

from inference.engines.program import Call
from inference.errors import InvalidRequest

from . import media
from .kind import Kind, PipelineKind, text

MAX_CELLS = 10_000


def fields(call: Call, *names: str) -> dict[str, Any]:
    """The inputs, which have to be an object with these fields."""
    found = call.inputs
    if not isinstance(found, dict):
        raise InvalidRequest(f"Expected an object with {' and '.join(names)}.", "inputs")
    for name in names:
        if found.get(name) is None:
            raise InvalidRequest(f"Missing required parameter: 'inputs.{name}'.", f"inputs.{name}")
    return found


class TableQuestionAnswering(PipelineKind):
    """{answer, coordinates, cells, aggregator}"""

    together = False

    def read(self, call: Call) -> Any:
        import pandas

        inputs = call.inputs
        if isinstance(inputs, dict) and "query" not in inputs and "question" in inputs:
            call = Call(call.task, {**inputs, "query": inputs["question"]}, call.parameters)
        found = fields(call, "query", "table")
        table = found["table"]
        columns = list(table.values()) if isinstance(table, dict) else []
        if not columns or not all(isinstance(each, list) for each in columns):
            raise InvalidRequest("Expected an object of columns.", "inputs.table")
        if len({len(each) for each in columns}) > 1 or not columns[0]:
            raise InvalidRequest("Columns have to be of one length.", "inputs.table")
        if len(columns) * len(columns[0]) > MAX_CELLS:
            raise InvalidRequest(f"A table has at most {MAX_CELLS} cells.", "inputs.table")
        cells = {name: [str(cell) for cell in column] for name, column in table.items()}
        query = text(found["query"], "inputs.query")
        return {"query": query, "table": pandas.DataFrame(cells, dtype=object)}

    def options(self, call: Call) -> dict[str, Any]:
        found = dict(call.parameters)
        if found.pop("truncation", None) is False:
            found["truncation"] = "do_not_truncate"
        return found

    def write(self, result: Any, call: Call) -> Any:
        places = [list(each) for each in result.get("coordinates", ())]
        return {"cells": [], **result, "coordinates": places}


class DocumentQuestionAnswering(PipelineKind):
    """[{answer, score, start, end}, …]"""

    together = False

    def read(self, call: Call) -> Any:
        found = fields(call, "image", "question")
        page = {
            "image": media.picture(found["image"], "inputs.image"),
            "question": text(found["question"], "inputs.question"),
        }
        if (boxes := call.parameters.get("word_boxes")) is not None:
            page["word_boxes"] = word_boxes(boxes)
        return page

    def options(self, call: Call) -> dict[str, Any]:
        return {k: v for k, v in call.parameters.items() if k != "word_boxes"}

    def write(self, result: Any, call: Call) -> Any:
        result = result if isinstance(result, list) else [result]
        # A model that reads the page itself gives neither score nor place.
        whole = {"score": 1.0, "start": 0, "end": 0}
        kept = ("answer", "score", "start", "end")
        return [{k: v for k, v in (whole | each).items() if k in kept} for each in result]


def word_boxes(value: Any) -> list[tuple[str, list[int]]]:
    """Words and where they stand, as pairs or in turn."""
    param = "parameters.word_boxes"
    flat = bool(value) and all(isinstance(each, str) for each in value[::2])
    pairs = list(zip(value[::2], value[1::2], strict=False)) if flat else value
    for pair in pairs:
        good = isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)
        box = pair[1] if good else None
        if not (isinstance(box, list) and len(box) == 4 and all(_in_page(x) for x in box)):
            raise InvalidRequest("Expected words, each with a box of four numbers to 1000.", param)
    return [(word, [int(x) for x in box]) for word, box in pairs]


def _in_page(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1000


class VisualQuestionAnswering(Kind):
    """[{answer, score}, …]"""

    model: Any
    reader: Any
    together = False

    def load(self) -> None:
        self.reader = self.origin.part("AutoProcessor")
        self.model = self.origin.model("AutoModelForVisualQuestionAnswering")

    def read(self, call: Call) -> Any:
        found = fields(call, "image", "question")
        picture = media.picture(found["image"], "inputs.image")
        return picture, text(found["question"], "inputs.question")

    def ask(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        import torch

        [(picture, question)] = inputs
        encoded = self.reader(picture, question, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            if self.model.can_generate():
                ids = self.model.generate(**encoded, max_new_tokens=32)
                answer = self.reader.batch_decode(ids, skip_special_tokens=True)[0].strip()
                return [[{"answer": answer, "score": 1.0}]]
            scores = self.model(**encoded).logits[0].float().sigmoid()
        best, ids = scores.topk(min(options.get("top_k") or 5, len(scores)))
        names = self.model.config.id2label
        pairs = zip(best.tolist(), ids.tolist(), strict=True)
        return [[{"answer": names[i], "score": score} for score, i in pairs]]
