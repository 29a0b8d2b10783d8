"""The one door, in process, with the echo engine."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from inference.catalogue import ModelCard
from inference.errors import (
    ContextLengthExceeded,
    EngineCrashed,
    EngineTimeout,
    InferenceError,
    LoadFailed,
    ModelNotFound,
    ModelUnavailable,
    QueueFull,
    ShuttingDown,
    WaitTooLong,
)
from inference.requests import FinishReason, GenerateRequest, Message, Output, SamplingParams
from inference.run import Early, Run
from inference.service import InferenceService

GIB = 2**30


def card(name: str, **more: Any) -> ModelCard:
    args = more.pop("args", {})
    return ModelCard(name, name, engine="echo", engine_args=args, **more)


CARDS = [
    card("echo", wish="pin", is_default=True, aliases=("gpt-test",)),
    card("slow", args={"tokens_per_second": 50}),
    card("one", max_num_seqs=1, args={"tokens_per_second": 50}),
    card("late", args={"load_seconds": 0.3}),
    card("broken", args={"fail_load": "the disk is made of cheese"}),
    card("odd", args={"tokens_per_second": "fast"}),
    card("mute", args={"silent_after": 1}),
    card("big", args={"memory_bytes": 6 * GIB, "tokens_per_second": 100}),
    card("bigger", args={"memory_bytes": 7 * GIB}),
    card("huge", args={"memory_bytes": 70 * GIB}),
]


@pytest.fixture
def limits(settings: LazySettings) -> Iterator[LazySettings]:
    settings.CPU_MEMORY_BYTES = 8 * GIB
    settings.FIRST_TOKEN_SECONDS = 10
    yield settings


@pytest.fixture
async def service(limits: LazySettings) -> AsyncIterator[InferenceService]:
    made = InferenceService()
    await made.start()
    await made.set_cards(CARDS)
    made.started()
    yield made
    await made.shutdown(0.2)
    assert not made._scheduler.running
    assert not made._scheduler.waiting()


def ask(model: str = "echo", text: str = "one two three", **sampling: Any) -> GenerateRequest:
    return GenerateRequest(
        model=model, messages=(Message("user", text),), sampling=SamplingParams(**sampling)
    )


async def said(service: InferenceService, request: GenerateRequest) -> list[Output]:
    async with aclosing(await service.generate(request)) as outputs:
        return [output async for output in outputs]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def running(service: InferenceService, model: str) -> int:
    return service.model_status(model).running


async def test_answer_is_numbered_tokens_with_usage_at_the_end(service: InferenceService) -> None:
    outputs = await said(service, ask())
    assert "".join(o.text for o in outputs) == "0:one 1:two 2:three "
    assert outputs[-1].finish_reason is FinishReason.STOP
    assert [o.usage for o in outputs[:-1]] == [None, None]
    assert outputs[-1].usage is not None
    assert (outputs[-1].usage.prompt_tokens, outputs[-1].usage.completion_tokens) == (3, 3)


async def test_names_aliases_and_default(service: InferenceService, limits: Any) -> None:
    assert service.card("gpt-test").id == "echo"
    assert service.card(None).id == service.card("").id == "echo"
    with pytest.raises(ModelNotFound):
        await service.generate(ask("nobody"))
    limits.ALIAS_UNKNOWN = "default"
    assert service.card("nobody").id == "echo"


async def test_model_is_loaded_when_asked_for(service: InferenceService) -> None:
    assert service.model_status("late").state == "unloaded"
    request = ask("late")
    answer = asyncio.create_task(said(service, request))
    await until(lambda: service.waiting(request.request_id) is not None)
    news = service.waiting(request.request_id)
    assert news is not None
    assert (news.model, news.position, news.stage) == ("late", 1, "loading")
    assert len(await answer) == 3
    assert service.waiting(request.request_id) is None
    assert service.model_status("late").state == "ready"
    seconds = service.model_status("late").load_seconds
    assert seconds is not None and seconds >= 0.3


async def test_failed_load_tells_its_waiters_why(service: InferenceService) -> None:
    both = [asyncio.create_task(said(service, ask("broken"))) for _ in range(2)]
    for result in await asyncio.gather(*both, return_exceptions=True):
        assert isinstance(result, LoadFailed)
        assert "cheese" in result.message
    assert service.model_status("broken").state == "failed"
    assert len(await said(service, ask())) == 3


async def test_closing_the_stream_frees_the_place_at_once(service: InferenceService) -> None:
    answer = await service.generate(ask("slow", "word " * 500))
    stream = aiter(answer)
    await anext(stream)
    assert running(service, "slow") == 1
    await answer.aclose()
    assert running(service, "slow") == 0


async def test_whole_answer_is_not_begun_again_when_its_turn_ends(
    service: InferenceService,
) -> None:
    request = ask("slow", "one")
    answer = await service.generate(request)
    outputs = aiter(answer)
    last = await anext(outputs)
    assert last.usage is not None
    # The caller is still busy with the last piece when others are to be let in.
    service._dispatcher._stops.pop(request.request_id)()
    await until(lambda: running(service, "slow") == 0)
    assert [output async for output in outputs] == []
    await answer.aclose()


async def test_stream_that_was_never_read_frees_its_place(service: InferenceService) -> None:
    answer = await service.generate(ask("slow"))
    await answer.aclose()
    await answer.aclose()
    assert running(service, "slow") == 0


async def test_caller_that_leaves_the_queue_leaves_nothing(service: InferenceService) -> None:
    answer = await service.generate(ask("one", "word " * 500))
    waiting = asyncio.create_task(service.generate(ask("one")))
    await until(lambda: service.model_status("one").waiting == 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert service.model_status("one").waiting == 0
    await answer.aclose()
    assert len(await said(service, ask("one"))) == 3


async def test_grant_to_a_caller_already_gone_is_dropped(service: InferenceService) -> None:
    answer = await service.generate(ask("one", "word " * 500))
    waiting = asyncio.create_task(service.generate(ask("one")))
    await until(lambda: service.model_status("one").waiting == 1)
    # Granted by the close, cancelled before it could run: both in one turn of the loop.
    closing = asyncio.create_task(answer.aclose())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    # The one who closes carries out the decision: it must not fail for the other's sake.
    await closing
    await until(lambda: running(service, "one") == 0)
    assert len(await said(service, ask("one"))) == 3


async def test_prompt_beyond_the_context_is_refused_before_the_stream(
    service: InferenceService,
) -> None:
    with pytest.raises(ContextLengthExceeded):
        await service.generate(ask(text="word " * 3000))
    with pytest.raises(ContextLengthExceeded):
        await service.generate(ask(max_tokens=2048))
    assert running(service, "echo") == 0


async def test_models_take_turns_when_memory_is_for_one(service: InferenceService) -> None:
    first = asyncio.create_task(said(service, ask("big", "word " * 30)))
    await until(lambda: running(service, "big") == 1)
    assert len(await said(service, ask("bigger"))) == 3
    assert len(await first) == 30
    assert service.model_status("big").state == "unloaded"


async def test_model_that_never_fits_is_refused(service: InferenceService) -> None:
    with pytest.raises(ModelUnavailable, match="70.0 GiB"):
        await service.generate(ask("huge"))


async def test_engine_that_says_nothing_times_out(
    service: InferenceService, limits: LazySettings
) -> None:
    limits.FIRST_TOKEN_SECONDS = 0.1
    with pytest.raises(EngineTimeout):
        await said(service, ask("mute"))
    assert running(service, "mute") == 0


async def test_full_queue_is_typed(limits: LazySettings) -> None:
    limits.QUEUE_LIMIT = 1
    service = InferenceService()
    await service.start()
    await service.set_cards(CARDS)
    holder = await service.generate(ask("one", "word " * 500))
    waiting = asyncio.create_task(service.generate(ask("one")))
    await until(lambda: service.model_status("one").waiting == 1)
    with pytest.raises(QueueFull):
        await service.generate(ask("one"))
    waiting.cancel()
    await holder.aclose()
    await service.shutdown(1)


async def test_shutdown_drains_then_cuts_with_a_typed_error(limits: LazySettings) -> None:
    service = InferenceService()
    await service.start()
    await service.set_cards(CARDS)
    short = asyncio.create_task(said(service, ask("slow", "word " * 10)))
    long = asyncio.create_task(said(service, ask("one", "word " * 500)))
    queued = asyncio.create_task(said(service, ask("one")))
    await until(lambda: running(service, "slow") == 1 and service.model_status("one").waiting == 1)
    await service.shutdown(0.6)
    assert len(await short) == 10
    for task in (long, queued):
        with pytest.raises(ShuttingDown):
            await task
    with pytest.raises(ShuttingDown):
        await service.generate(ask())


async def test_wishes_are_followed(service: InferenceService) -> None:
    await until(lambda: service.ready)
    assert service.model_status("echo").state == "ready"
    assert service.model_status("echo").tier == "S"
    await service.set_cards([*CARDS[:1], card("slow", wish="preload"), *CARDS[2:]])
    await until(lambda: service.model_status("slow").state == "ready")
    # Unloading: whatever got ready before now goes.
    from time import time

    await service.set_cards([*CARDS[:1], card("slow", unload_before=time()), *CARDS[2:]])
    await until(lambda: service.model_status("slow").state == "unloaded")


async def test_many_at_once_all_get_their_own_words(service: InferenceService) -> None:
    texts = [f"w{i} " * (1 + i % 7) for i in range(100)]
    answers = await asyncio.gather(*(said(service, ask(text=t)) for t in texts))
    for text, outputs in zip(texts, answers, strict=True):
        words = text.split()
        expected = "".join(f"{k}:{w} " for k, w in enumerate(words))
        assert "".join(o.text for o in outputs) == expected


def test_every_error_is_one_of_the_tree() -> None:
    from inference import errors

    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    assert all(issubclass(c, InferenceError) for c in classes)
    assert all(c.__name__ in (errors.__doc__ or "") for c in classes)


async def test_request_that_finds_its_engine_dead_waits_for_the_next(
    service: InferenceService,
) -> None:
    await said(service, ask("slow"))
    (replica,) = service._replicas("slow")
    engine = service._fleet.engine(replica.id)
    assert engine is not None
    await engine.stop()  # as a crash that nobody has noticed yet
    assert len(await said(service, ask("slow"))) == 3
    assert service._replicas("slow")[0].id != replica.id


class Clock:
    """The machine's, put forward by hand."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.mark.parametrize("what", ["download", "crash"])
async def test_a_wait_counts_from_the_arrival_whatever_comes_before_the_queue(
    what: str, limits: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, begin, seconds = Clock(), Run.begin, [500.0, 0.0]

    def pass_time() -> float:
        clock.ahead += (passed := seconds.pop(0))
        return passed

    async def bring(*_: Any) -> None:
        pass_time()

    async def dies(run: Run, replica_id: int, early: Early | None) -> None:
        if pass_time():
            raise EngineCrashed("killed")
        await begin(run, replica_id, early)

    service = InferenceService(clock)
    await service.start()
    await service.set_cards(CARDS)
    if what == "download":
        monkeypatch.setattr(service.library, "bring", bring)
    else:
        monkeypatch.setattr(Run, "begin", dies)
    try:
        answer = await service.generate(ask("big"))
        assert 500.0 <= answer.queue_seconds < 600.0
        async with aclosing(answer):
            usage = [output.usage async for output in answer if output.usage]
        assert 500.0 <= usage[0].queue_seconds < 600.0
        # Who has waited for W is told so; the next one is served.
        seconds[:] = [1_201.0, 0.0]
        other = "bigger" if what == "download" else "big"
        with pytest.raises(WaitTooLong):
            await service.generate(ask(other))
        seconds[:] = [0.0]
        async with aclosing(await service.generate(ask(other))) as answer:
            assert answer.queue_seconds < 100.0
    finally:
        await service.shutdown(0)


async def test_load_that_breaks_in_an_unforeseen_way_still_fails_its_waiters(
    service: InferenceService,
) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(LoadFailed, match="fast"):
            await service.generate(ask("odd"))
    assert service.model_status("odd").state == "failed"


async def test_card_that_cannot_be_measured_stops_no_other(
    service: InferenceService, tmp_path: Path
) -> None:
    broken = ModelCard("broken-folder", str(tmp_path))
    await service.set_cards([*CARDS, broken])
    with pytest.raises(ModelUnavailable, match="config.json"):
        await service.generate(ask("broken-folder"))
    assert len(await said(service, ask())) == 3
