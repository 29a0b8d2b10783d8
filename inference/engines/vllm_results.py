"""What the EngineCore says, brought to whoever waits for it.

vLLM makes two objects of some thirty fields of every token, and wakes a task by an Event. In the
middle of a plain text none of that is asked for: such tokens are decoded here and go on as they
are. The first and the last of an answer, and answers that are more than text, are vLLM's to read.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inference.requests import Output

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


class Collector:
    """The results of one plain text, in order: vLLM's RequestOutputs, and between them Outputs.

    It stands where vLLM's own RequestOutputCollector would, and is put to as that is. Who waits is
    woken for `gather` tokens, and for whatever is no token.
    """

    __slots__ = ("_decoder", "_gather", "_results", "_waiter", "has_begun", "request_id")

    def __init__(self, request_id: str, decoder: Any, first: Any, gather: int) -> None:
        self.request_id = request_id
        self._decoder = decoder
        self._gather = gather
        self._results: deque[Any] = deque([first] if first is not None else ())
        self._waiter: asyncio.Future[None] | None = None
        # Whether vLLM has read the first token, and what comes with that.
        self.has_begun = first is not None

    def put(self, result: Any) -> None:
        """A RequestOutput, or the exception that ends the answer."""
        self.has_begun = True
        self._results.append(result)
        self._wake()

    def put_tokens(self, token_ids: Sequence[int]) -> None:
        """Tokens of the middle. What nobody has read yet is read with them, as one piece."""
        decoder, text = self._decoder, ""
        for token_id in token_ids:
            decoder.token_ids.append(token_id)
            # Not `update`: it copies the whole text at each token, to look for stop strings.
            text += decoder.decode_next(token_id)
        last = self._results[-1] if self._results else None
        if isinstance(last, Output):
            last.text += text
            last.token_ids = [*last.token_ids, *token_ids]
        else:
            last = Output(text, token_ids)
            self._results.append(last)
        if len(last.token_ids) >= self._gather:
            self._wake()

    def get_nowait(self) -> Any:
        """The next result; None where there is none yet. Raises what was put as an exception."""
        if not self._results:
            return None
        result = self._results.popleft()
        if isinstance(result, Exception):
            raise result
        return result

    async def get(self) -> Any:
        """The next result. Raises what was put as an exception."""
        while not self._results:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.get_nowait()

    def close(self) -> None:
        """Nothing is held that has to be given back."""

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Results:
    """Reads every step of an engine. `heard` is when the last one came, by the monotonic clock."""

    def __init__(self, llm: AsyncLLM) -> None:
        self._processor: Any = llm.output_processor
        self._read = self._processor.process_outputs
        self._processor.process_outputs = self._process
        self._collectors: dict[str, Collector] = {}
        self.heard = time.monotonic()

    @property
    def are_awaited(self) -> bool:
        """Whether the engine has a request that it has not answered whole."""
        return bool(self._processor.has_unfinished_requests())

    def collector(self, given: Any, params: Any, gather: int = 1) -> Any:
        """Where to read the results of a request: vLLM's collector, or one that takes its place."""
        state = self._processor.request_states.get(given.request_id)
        if state is None or not _is_plain(state, params):
            return given
        first = given.get_nowait()
        found = Collector(given.request_id, state.detokenizer, first, gather)
        self._collectors[found.request_id] = state.queue = found
        return found

    def forget(self, collector: Any) -> None:
        """Nobody reads it any more."""
        self._collectors.pop(collector.request_id, None)
        collector.close()

    def _process(self, outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        """In place of vLLM's OutputProcessor.process_outputs."""
        self.heard = time.monotonic()
        others = []
        for output in outputs:
            collector = self._collectors.get(output.request_id)
            if collector is None or output.finish_reason is not None or not collector.has_begun:
                others.append(output)
            else:
                collector.put_tokens(output.new_token_ids)
        return self._read(others, *args, **kwargs)


def _is_plain(state: Any, params: Any) -> bool:
    """Whether each token between the first and the last says nothing but its text."""
    from vllm.v1.engine.detokenizer import BaseIncrementalDetokenizer

    return (
        isinstance(state.detokenizer, BaseIncrementalDetokenizer)
        and state.parent_req is None
        # Else vLLM itself brings tokens together.
        and state.stream_interval == 1
        and not (params.stop or params.logprobs is not None)
    )
