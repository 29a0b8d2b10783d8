"""vLLM's reader of outputs without an engine: what an EngineCore would say is said by the test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.frontend import POCKET
from inference.engines.vllm_results import Results
from inference.requests import Output


class Engine:
    """vLLM's own reader of outputs, and what an EngineCore would send to it."""

    def __init__(self) -> None:
        from transformers import AutoTokenizer
        from vllm.v1.engine.output_processor import OutputProcessor

        self.tokenizer: Any = AutoTokenizer.from_pretrained(POCKET)
        self.output_processor = OutputProcessor(self.tokenizer, log_stats=False)

    def asked(self, name: str, **params: Any) -> tuple[Any, Any]:
        """vLLM's collector of a new request, and its parameters."""
        from vllm.sampling_params import RequestOutputKind, SamplingParams
        from vllm.v1.engine import EngineCoreRequest
        from vllm.v1.engine.output_processor import RequestOutputCollector

        kind = RequestOutputKind.DELTA
        given = SamplingParams(max_tokens=200, output_kind=kind, **params)
        request = EngineCoreRequest(name, [1, 2, 3], None, given, None, 0.0, None, None, None)
        request.external_req_id = name
        collector = RequestOutputCollector(kind, name)
        self.output_processor.add_request(request, None, None, 0, collector)
        return collector, given

    def step(self, name: str, token_ids: Sequence[int], ends: bool = False) -> list[Any]:
        """What the EngineCore says after one step."""
        from vllm.v1.engine import EngineCoreOutput, FinishReason

        reason = FinishReason.LENGTH if ends else None
        return [EngineCoreOutput(name, list(token_ids), finish_reason=reason)]

    def says(self, name: str, token_ids: Sequence[int], ends: bool = False) -> None:
        """One step that vLLM reads at once."""
        self.output_processor.process_outputs(self.step(name, token_ids, ends), 0.0, None)

    def results(self, listens: bool = False) -> Results:
        return Results(self.output_processor, listens)


def read(collector: Any) -> tuple[str, list[int]]:
    """All that is there now."""
    text, ids = "", list[int]()
    while (result := collector.get_nowait()) is not None:
        piece = result if isinstance(result, Output) else result.outputs[0]
        text, ids = text + piece.text, [*ids, *piece.token_ids]
    return text, ids
