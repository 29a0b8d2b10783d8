"""What an EngineCore sends over a real socket, heard in vLLM's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
import zmq.asyncio

from inference.engines import vllm_listener
from inference.engines.vllm_listener import STRETCH

pytestmark = pytest.mark.engine


class Line:
    """vLLM's client of an engine, of which only the reading end is there, and the engine's end."""

    def __init__(self) -> None:
        from vllm.v1.engine import EngineCoreOutputs
        from vllm.v1.engine.core_client import AsyncMPClient, BackgroundResources
        from vllm.v1.serial_utils import MsgpackDecoder, MsgpackEncoder

        self.contexts = [zmq.asyncio.Context(), zmq.Context()]
        pull = self.contexts[0].socket(zmq.PULL)
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        self.engine = self.contexts[1].socket(zmq.PUSH)
        self.engine.connect(f"tcp://127.0.0.1:{port}")
        self.encoder = MsgpackEncoder()
        self.client: Any = AsyncMPClient.__new__(AsyncMPClient)
        self.resources = BackgroundResources(self.contexts[0], output_socket=pull)
        self.client.__dict__.update(
            resources=self.resources,
            decoder=MsgpackDecoder(EngineCoreOutputs),
            outputs_queue=asyncio.Queue(),
            utility_results={},
        )
        self.heard: list[str] = []

    def listen(self) -> None:
        llm: Any = SimpleNamespace(engine_core=self.client)
        assert vllm_listener.can_listen(llm)
        vllm_listener.listen(llm, self.take)
        # Nobody listens twice.
        assert not vllm_listener.can_listen(llm)

    def take(self, outputs: list[Any]) -> list[Any]:
        """Those whose name begins with `v` are vLLM's."""
        self.heard += [output.request_id for output in outputs]
        return [output for output in outputs if output.request_id.startswith("v")]

    def says(self, *names: str, **more: Any) -> None:
        from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs

        outputs = [EngineCoreOutput(name, [7]) for name in names]
        self.engine.send_multipart(self.encoder.encode(EngineCoreOutputs(outputs=outputs, **more)))

    async def has_heard(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                await asyncio.sleep(0.005)

    def left(self) -> Iterable[list[str]]:
        """What vLLM's handler was left, message by message."""
        queue = self.client.outputs_queue
        while not queue.empty():
            yield [output.request_id for output in queue.get_nowait().outputs]


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    yield line
    if (task := line.resources.output_queue_task) is not None:
        task.cancel()
        await asyncio.wait([task])
    for context in line.contexts:
        context.destroy(linger=0)


async def test_all_is_heard_in_order_and_vllm_is_left_what_is_its_own(line: Line) -> None:
    # Sent before anybody listens: the descriptor will not tell of them.
    line.says("a", "v1", "b")
    line.says("c")
    line.listen()
    names = [f"n{i}" for i in range(3 * STRETCH)]
    for name in names:
        line.says(name)
    line.says("v2")
    await line.has_heard(len(names) + 5)
    assert line.heard == ["a", "v1", "b", "c", *names, "v2"]
    assert list(line.left()) == [["v1"], ["v2"]]


async def test_the_answer_to_a_call_is_no_output(line: Line) -> None:
    from vllm.v1.engine import UtilityOutput

    line.listen()
    asked = asyncio.get_running_loop().create_future()
    line.client.utility_results[5] = asked
    line.says(utility_output=UtilityOutput(5, failure_message="no such thing"))
    with pytest.raises(Exception, match="no such thing"):
        await asyncio.wait_for(asked, 10)
    assert list(line.left()) == []


async def test_vllms_handler_is_told_that_the_engine_is_dead(line: Line) -> None:
    from vllm.v1.engine.core import EngineCoreProc
    from vllm.v1.engine.exceptions import EngineDeadError

    line.listen()
    line.says("a")
    line.engine.send(EngineCoreProc.ENGINE_CORE_DEAD)
    line.says("b")
    said = await asyncio.wait_for(line.client.outputs_queue.get(), 10)
    assert isinstance(said, EngineDeadError) and line.resources.engine_dead
    assert line.heard == ["a"]
    await asyncio.wait_for(line.resources.output_queue_task, 10)


async def test_what_nobody_can_read_ends_the_engine_and_is_not_passed_over(line: Line) -> None:
    line.listen()
    line.engine.send(b"\xc1")
    assert isinstance(await asyncio.wait_for(line.client.outputs_queue.get(), 10), Exception)


async def test_vllm_closes_the_socket_as_it_would_its_own(line: Line) -> None:
    from vllm.v1.engine.exceptions import EngineDeadError

    line.listen()
    await asyncio.sleep(0)
    task = line.resources.output_queue_task
    assert task is not None
    line.resources()
    said = await asyncio.wait_for(line.client.outputs_queue.get(), 10)
    assert isinstance(said, EngineDeadError)
    await asyncio.wait_for(task, 10)
    assert line.heard == []
