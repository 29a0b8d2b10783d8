"""The engine of a model that is somebody's own code: a worker in a jail, one call at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from inference import jail
from inference.catalogue import ModelCard
from inference.engines.base import Engine, Prepared, Resources
from inference.engines.custom import chat, folder, hub_line
from inference.engines.custom.hub_proxy import HubProxy, certificates
from inference.engines.custom.program import IDLE
from inference.engines.custom.watch import Taken, taken
from inference.engines.messages import Load
from inference.engines.program import Call
from inference.engines.supervisor import Supervisor
from inference.errors import (
    CustomCodeFailed,
    CustomLoadFailed,
    EngineCrashed,
    InferenceError,
    LoadFailed,
    OutOfMemory,
    ProgramFailed,
    RequestError,
    UnsupportedParameter,
)
from inference.requests import (
    FinishReason,
    GenerateRequest,
    Output,
    Question,
    TaskRequest,
    Usage,
)
from inference.signature import Signature, is_plain

PROGRAM = "inference.engines.custom.program:CustomProgram"
WATCH_SECONDS = 0.25
# Computing that nobody asked for: threads and processes that a call left behind.
IDLE_CPU_SECONDS = 10.0


class JailedWorker(Supervisor):
    """A worker for custom code; `hub` is the address of the Hub where the code may reach that."""

    def __init__(
        self, name: str, log: Path, limits: jail.Limits, shown: Mapping[str, Path], hub: str
    ) -> None:
        self._proxy = HubProxy(hub) if hub else None
        environment = {**folder.environment()}
        if self._proxy is not None:
            shown = {**shown, **certificates(), hub_line.SOCKET: self._proxy.path}
            environment |= hub_line.environment(hub)
        inside = jail.Jail(limits, shown, environment=environment)
        limit = limits.output_bytes
        # No `hang_seconds`: it may sleep, or wait for the Hub, as long as `limits.seconds` lets it.
        super().__init__(name, log, prefix=jail.prefix(inside), env=jail.OUTSIDE, max_bytes=limit)

    async def start(self, load: Load) -> Mapping[str, Any]:
        """Open the way to the Hub first."""
        if self._proxy is not None:
            await self._proxy.start()
        return await super().start(load)

    async def stop(self) -> None:
        """Close it last."""
        await super().stop()
        if self._proxy is not None:
            await self._proxy.stop()


class CustomEngine(Engine):
    """`engine_args`: `network` (the Hub, granted by staff), `run` (its signature), `memory_bytes`.

    Whatever the code does wrong is CustomCodeFailed for the call that it did it to, and stands with
    its traceback in the model's folder.
    """

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        self.max_model_len = 0
        self._card = card
        self._folder = Path(resources.source)
        self._log = resources.log
        self._limits = resources.limits
        self._worker = self._jailed(resources.hub) if not jail.problem() else None
        self._signature = Signature()
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loading = True
        self._stopped = False

    def _jailed(self, hub: str) -> JailedWorker:
        shown = folder.shown(self._folder)
        hub = hub if self._network else ""
        return JailedWorker(self._card.id, self._log, self._limits, shown, hub)

    @property
    def _network(self) -> bool:
        return self._card.engine_args.get("network") is True

    @property
    def _running(self) -> Supervisor:
        if self._worker is None:
            raise EngineCrashed("There is no jail on this machine.")
        return self._worker

    # --- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check the hash, then load in the jail. Raises CustomLoadFailed."""
        if self._worker is None:
            raise LoadFailed(f"Custom models are off: {jail.problem()}")
        approved = self._folder, self._card.revision, self._network
        if not await asyncio.to_thread(folder.is_as_approved, *approved):
            raise LoadFailed("Its code is not what was approved: the hash differs.")
        try:
            facts = await self._loaded()
            self._signature = Signature.of(facts.get("signature"))
        except (InferenceError, ValueError) as error:
            printed = await asyncio.to_thread(_tail, self._log)
            await self._note(f"{printed}\n{error}".strip())
            raise CustomLoadFailed(str(error)) from error
        self._loading = False
        self._spawn(self._watch())

    async def _loaded(self) -> Mapping[str, Any]:
        limit = self._limits.load_seconds
        watch = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(limit):
                return await self._running.start(Load(PROGRAM, {}))
        except TimeoutError:
            raise LoadFailed(f"`load()` took longer than {limit:g} s.") from None
        finally:
            watch.cancel()

    @property
    def alive(self) -> bool:
        """Whether it may still be asked."""
        return self._worker is not None and self._worker.alive

    async def died(self) -> str:
        """Return, in words, once the jail is empty."""
        return await self._running.died()

    async def stop(self) -> None:
        """End all that is in the jail."""
        # What died by itself was stopped by nobody.
        self._stopped = self._stopped or self.alive
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._worker is not None:
            await self._worker.stop()

    # --- one call --------------------------------------------------------------------------------

    async def prepare(self, request: Question) -> Prepared[Question]:
        """Check the arguments against the type hints of `run`."""
        if isinstance(request, GenerateRequest):
            return await asyncio.to_thread(chat.prepared, request, self._signature)
        if not isinstance(request, TaskRequest) or self._signature.takes:
            raise UnsupportedParameter("This model is a chat and nothing else.", "model")
        arguments = await asyncio.to_thread(
            self._signature.arguments, request.inputs, request.parameters
        )
        return Prepared(request, 0, payload=arguments)

    async def generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """The answer, once nobody else is answered."""
        await self._one_at_a_time.acquire()
        settled = False
        try:
            async with aclosing(self._answer(prepared)) as outputs:
                async for output in outputs:
                    yield output
            settled = True
        except RequestError:
            settled = True
            raise
        finally:
            if settled:
                self._one_at_a_time.release()
            else:
                self._spawn(self._settle())

    async def _answer(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        limit = self._limits.seconds
        chats = isinstance(prepared.request, GenerateRequest)
        outputs = self._pieces(prepared) if chats else self._whole(prepared)
        deadline = asyncio.get_running_loop().time() + limit
        try:
            async with aclosing(outputs):
                while True:
                    # Not round the `yield`: how slowly a caller reads is not the code's doing.
                    async with asyncio.timeout_at(deadline):
                        output = await anext(outputs)
                    yield output
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise await self._failed(
                f"It ran for longer than {limit:g} s and was stopped."
            ) from None
        except OutOfMemory as error:
            raise await self._failed("It asked for more memory than it may have.") from error
        except EngineCrashed as error:
            if self._stopped:
                raise
            raise await self._failed(error.message) from error
        except ProgramFailed as error:
            raise await self._failed(error.message, error.trace) from error

    async def _whole(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        data = await self._running.ask(Call("run", prepared.payload))
        if not await asyncio.to_thread(is_plain, data):
            raise ProgramFailed("The model's code answered something that JSON cannot hold.")
        yield Output(data=data, finish_reason=FinishReason.STOP, usage=Usage())

    async def _pieces(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """A piece counts as a token; the last Output says why it ended."""
        count, most = 0, prepared.max_tokens
        reason = FinishReason.LENGTH
        async with aclosing(self._running.stream(Call("run", prepared.payload))) as pieces:
            async for piece in pieces:
                if piece is None:
                    reason = FinishReason.STOP
                    break
                if not isinstance(piece, str):
                    raise ProgramFailed("The model's code said something that is no text.")
                count += 1
                yield Output(piece, (count,))
                if most and count >= most:
                    break
        usage = Usage(prepared.prompt_tokens, count)
        yield Output(finish_reason=reason, usage=usage)

    async def _settle(self) -> None:
        """After a call that was left or went wrong: wait until nothing of it runs any more."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._running.ask(Call(IDLE))
        except TimeoutError:
            await self._running.kill("its code ran on after its caller had left")
        except InferenceError:
            return  # it is gone: so is the call
        finally:
            self._one_at_a_time.release()

    async def _failed(self, message: str, trace: str = "") -> CustomCodeFailed:
        await self._note(trace or message)
        if not trace and self.alive:
            await self._running.kill(message.rstrip("."))
        return CustomCodeFailed(message, trace)

    async def _note(self, text: str) -> None:
        await asyncio.to_thread(folder.note_error, self._folder, text)

    # --- watching it -----------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Kill it when all of it together takes more than it may."""
        idle, before = 0.0, 0.0
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            pid = self._running.process_id
            if pid is None:
                continue
            now = await asyncio.to_thread(taken, pid)
            printed = await asyncio.to_thread(_size, self._log)
            busy = self._loading or self._one_at_a_time.locked()
            idle = 0.0 if busy else idle + max(0.0, now.cpu_seconds - before)
            before = now.cpu_seconds
            if reason := self._too_much(now, printed, idle):
                await self._running.kill(reason)
                return

    def _too_much(self, now: Taken, printed: int, idle: float) -> str:
        limits = self._limits
        if now.memory_bytes > limits.memory_bytes:
            return f"its code took more than {limits.memory_bytes:,} bytes of memory"
        if printed > limits.output_bytes:
            return f"its code printed more than {limits.output_bytes:,} bytes"
        if idle > IDLE_CPU_SECONDS:
            return "its code went on computing when nobody had asked it"
        return ""

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _tail(log: Path) -> str:
    """The end of what was printed; a log may be as long as the limit of output."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, _size(log) - folder.MOST_OF_ERROR))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
