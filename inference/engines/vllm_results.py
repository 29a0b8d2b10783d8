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
from typing import TYPE_CHECKING, Any, NamedTuple

from inference.engines import vllm_listener
from inference.requests import Bypass, Output

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

# Turns of the event loop from a first token to its bytes on the line: vLLM's handler, the task that
# waits for it, who waits for that task, and the response.
FIRST_TURNS = 6


class Fault(NamedTuple):
    """What went wrong where a piece was taken, on its way to whoever reads the answer."""

    error: Exception


class Collector:
    """The results of one plain text, in order: vLLM's RequestOutputs, and between them Outputs.

    It stands where vLLM's own RequestOutputCollector would, and is put to as that is. Who waits is
    woken for `gather` tokens, and for whatever is no token. While somebody waits and has read all
    that was before, the `bypass` is given tokens in their place, if there is one.
    """

    __slots__ = (
        "_decoder", "_full", "_gather", "_loop", "_results", "_waiter", "bypass", "has_begun",
        "request_id",
    )  # fmt: skip

    def __init__(self, request_id: str, decoder: Any, first: Any, gather: int) -> None:
        self.request_id = request_id
        self._decoder = decoder
        self._gather = gather
        self._results: deque[Any] = deque([first] if first is not None else ())
        # Named once: to look for the running loop is a system call, and that for each token.
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        # Whether vLLM has read the first token, and what comes with that.
        self.has_begun = first is not None
        self.bypass: Bypass | None = None
        # It has no room: who reads waits until it has, and comes back then.
        self._full = False

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
        waiter, bypass = self._waiter, self.bypass
        if bypass is None or self._full or self._results or waiter is None or waiter.done():
            self._keep(text, token_ids)
            return
        bypass.tokens += len(token_ids)
        if bypass.kept is not None:
            bypass.kept.extend(token_ids)
        try:
            self._full = not bypass.write(Output(text, token_ids))
        except Exception as error:  # it is the answer's, not the engine's, and others go on
            self.put(Fault(error))

    def _keep(self, text: str, token_ids: Sequence[int]) -> None:
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
        self._full = False
        while not self._results:
            self._waiter = self._loop.create_future()
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
    """Reads every step of an engine. `heard` is when the last one came, by the monotonic clock.

    `listens` says whether `hear` gets every step before vLLM does; else all come by way of vLLM.
    """

    def __init__(self, processor: Any, listens: bool) -> None:
        self._processor = processor
        self._read = self._processor.process_outputs
        self._processor.process_outputs = self._process
        self._collectors: dict[str, Collector] = {}
        # Tokens that let a first one go before them.
        self._put_off: list[tuple[Collector, Sequence[int]]] = []
        # Outputs that vLLM has been given and has not read.
        self._unread = 0
        self._listens = listens
        self.heard = time.monotonic()

    @classmethod
    def of(cls, llm: AsyncLLM) -> Results:
        """The results of an engine. To be called on the event loop, before it is asked anything."""
        results = cls(llm.output_processor, listens=vllm_listener.can_listen(llm))
        if results._listens:
            vllm_listener.listen(llm, results.hear)
        return results

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

    def hear(self, outputs: list[Any]) -> list[Any]:
        """What a step brought. Returns what vLLM is to read of it, later.

        A first token passes several turns of the loop on its way out. Those of all others in its
        step, some 0.4 ms of work at 32 streams, come after it.
        """
        self.heard = time.monotonic()
        self._pour()
        if self._unread:
            # Nothing overtakes what vLLM has not read yet.
            others = outputs
        else:
            others, begins = self._sorted(outputs)
            self._pour_later(FIRST_TURNS if begins and self._put_off else 0)
        self._unread += len(others)
        return others

    def _pour_later(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._pour_later, turns - 1)
        else:
            self._pour()

    def _pour(self) -> None:
        """Bring tokens to those who still wait for them."""
        put_off, self._put_off = self._put_off, []
        for collector, token_ids in put_off:
            if collector.request_id not in self._collectors:
                continue
            try:
                collector.put_tokens(token_ids)
            except Exception as error:  # tokens that cannot be decoded are one answer's trouble
                collector.put(Fault(error))

    def _process(self, outputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """In place of vLLM's OutputProcessor.process_outputs."""
        if self._listens:
            self._unread -= len(outputs)
        else:
            self.heard = time.monotonic()
            outputs, _ = self._sorted(outputs)
            self._pour()
        return self._read(outputs, *args, **kwargs)

    def _sorted(self, outputs: Sequence[Any]) -> tuple[list[Any], bool]:
        """What is more than plain tokens, and whether an answer begins with it.

        The plain ones are put off until `_pour`.
        """
        others, begins = [], False
        for output in outputs:
            collector = self._collectors.get(output.request_id)
            if collector is None or output.finish_reason is not None or not collector.has_begun:
                others.append(output)
                begins = begins or (collector is not None and not collector.has_begun)
            else:
                self._put_off.append((collector, output.new_token_ids))
        return others, begins


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
