"""The EngineCore's messages, read when they come.

Each goes through three tasks otherwise, pyzmq's, vLLM's and the one of whoever waits, and each of
them is a turn of the event loop and another look at the socket. Here the loop calls, plain tokens
are put where they are awaited, and only what is more than that goes on to vLLM's own handler.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

# So many messages are read before others have their turn; each is a step of the engine.
STRETCH = 16


def can_listen(llm: AsyncLLM) -> bool:
    """Whether vLLM's client only reads; for data parallelism it does more."""
    from vllm.v1.engine.core_client import AsyncMPClient

    client: Any = llm.engine_core
    return type(client) is AsyncMPClient and client.resources.output_queue_task is None


def listen(llm: AsyncLLM, take: Callable[[list[Any]], list[Any]]) -> None:
    """Listen in vLLM's place: `take` gets each step's outputs and returns what vLLM is to read."""
    client: Any = llm.engine_core
    listening = Listener(client, take).run()
    client.resources.output_queue_task = asyncio.create_task(listening, name="EngineCoreListener")


class Listener:
    """Stands where AsyncMPClient's `process_outputs_socket` would. Made on the event loop."""

    def __init__(self, client: Any, take: Callable[[list[Any]], list[Any]]) -> None:
        self._resources = client.resources
        self._socket = client.resources.output_socket
        self._decoder, self._queue = client.decoder, client.outputs_queue
        self._answers = client.utility_results
        self._take = take
        # The asyncio socket would look for its own readers.
        self._plain: zmq.Socket[bytes] = zmq.Socket.shadow(self._socket.underlying)
        self._loop = asyncio.get_running_loop()
        self._failed: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> None:
        """Until it is cancelled or the engine is dead; vLLM's handler is told which."""
        from vllm.v1.engine.exceptions import EngineDeadError

        # A descriptor of our own: vLLM closes the socket without asking who watches it.
        watched = os.dup(int(self._plain.getsockopt(zmq.FD)))
        self._loop.add_reader(watched, self._read)
        try:
            self._read()
            await self._failed
        except asyncio.CancelledError:
            self._queue.put_nowait(EngineDeadError())
        except Exception as error:  # vLLM's handler passes it on to all that wait
            self._queue.put_nowait(error)
        finally:
            self._loop.remove_reader(watched)
            os.close(watched)

    def _read(self) -> None:
        """Read all that is there: the descriptor tells only of what is new."""
        try:
            for _ in range(STRETCH):
                if self._failed.done() or self._socket.closed:
                    return
                self._hear(self._plain.recv_multipart(zmq.DONTWAIT, copy=False))
        except zmq.Again:
            return
        except Exception as error:  # a dead engine, or a message that nobody can read
            self._failed.set_exception(error)
            return
        self._loop.call_soon(self._read)

    def _hear(self, frames: list[zmq.Frame]) -> None:
        self._resources.validate_alive(frames)
        said = self._decoder.decode(frames)
        if said.utility_output:
            # Here, because a step of the engine is heard hundreds of times a second.
            from vllm.v1.engine.core_client import _process_utility_output

            _process_utility_output(said.utility_output, self._answers)
            return
        said.outputs = self._take(said.outputs)
        if said.outputs or said.scheduler_stats:
            self._queue.put_nowait(said)
