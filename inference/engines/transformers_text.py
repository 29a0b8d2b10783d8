"""Text from a language model under transformers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from inference.abilities import preemptable
from inference.catalogue import ModelCard
from inference.engines.base import Prepared, Resources
from inference.engines.grammars import GrammarTrial, as_grammar, kind_and_text
from inference.engines.limits import max_tokens
from inference.engines.parts import has_media
from inference.engines.pictures import check_pictures, refuse_pictures
from inference.engines.plain_text import PlainText
from inference.engines.program import Call
from inference.engines.sounds import check_sounds, refuse_sounds
from inference.engines.text.senses import PICTURE, SOUND
from inference.engines.transformers import WorkerEngine
from inference.engines.vllm_base import client_error
from inference.engines.vllm_chat import ChatParsing, ChatRequest
from inference.engines.vllm_sampling import sampling_params, structured_params
from inference.errors import EngineCrashed, InvalidRequest, LoadFailed, UnsupportedParameter
from inference.requests import (
    DetokenizeRequest,
    FinishReason,
    GenerateRequest,
    Media,
    Message,
    Output,
    Question,
    TokenizeRequest,
    TokenLogprob,
    Usage,
)

PROGRAM = "inference.engines.text.program:TextProgram"
# A prompt that takes longer to read holds up all others: its model is ended.
PREPARE_SECONDS = 60.0
# The worker reads them with the prompt, and again when the answer begins.
# What templates look for.
PLACES: Mapping[str, Any] = {"image_url": {"type": "image"}, "input_audio": {"type": "audio"}}
MEDIA: tuple[str, ...] = ("files", "fields")
# What stands under one name in vLLM's parameters and in `text.sampling.Sampling`.
SAME = (
    "n",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "ignore_eos",
    "min_tokens",
    "logprobs",
    "prompt_logprobs",
    "logit_bias",
)


@dataclass(frozen=True, slots=True)
class TextPayload:
    """A request in the worker's terms."""

    ids: Sequence[int]
    text: str
    sampling: Mapping[str, Any]
    chat: ChatRequest | None
    media: Mapping[str, Any]


class TransformersTextEngine(WorkerEngine):
    """A generating model: chats and completions.

    vLLM checks the parameters and parses tool calls and reasoning, so that both engines take and
    give the same.
    """

    def __init__(self, card: ModelCard, resources: Resources) -> None:
        super().__init__(card, resources)
        self._facts: Mapping[str, Any] = {}
        self._plain = PlainText(None)
        self._chat: ChatParsing | None = None
        self._trial: GrammarTrial | None = None

    def _program(self) -> tuple[str, dict[str, Any]]:
        arguments = {
            "context": self._card.max_model_len,
            "max_rows": self._card.max_num_seqs,
            "budget": self._resources.kv_cache_bytes,
        }
        return PROGRAM, {**arguments, **self._loading()}

    async def _loaded(self, facts: Mapping[str, Any]) -> None:
        await super()._loaded(facts)
        self._facts = facts
        tokenizer = await asyncio.to_thread(_tokenizer, self._loading())
        self._plain = PlainText(tokenizer)
        self._trial = GrammarTrial(tokenizer, int(facts["vocabulary"]))
        config = SimpleNamespace(model_type=facts["model_type"])
        model: Any = SimpleNamespace(
            tokenizer=tokenizer,
            model_config=SimpleNamespace(hf_config=config, model=self._resources.source),
        )
        card = self._card
        self._chat = await asyncio.to_thread(
            ChatParsing, model, card.tool_parser, card.reasoning_parser
        )

    async def stop(self) -> None:
        """Also end the child that tries constraints."""
        if self._trial is not None:
            await self._trial.close()
        await super().stop()

    # --- one request -----------------------------------------------------------------------------

    async def prepare(self, request: Question) -> Prepared[Question]:
        """Render, tokenise and check; the worker does the slow parts."""
        if isinstance(request, TokenizeRequest):
            return Prepared(request, 0, payload=await self._tokenized(request))
        if isinstance(request, DetokenizeRequest):
            found = await self._read("detokenize", {"ids": list(request.tokens)})
            return Prepared(request, 0, payload=Output(found["text"], usage=Usage()))
        if not isinstance(request, GenerateRequest):
            raise UnsupportedParameter("This model answers in text only.", "model")
        return await self._prepare(request)

    async def _tokenized(self, request: TokenizeRequest) -> Output:
        asked = {
            **await self._prompt(request),
            "special": request.special,
            "strings": request.strings,
        }
        found = await self._read("tokenize", asked)
        return Output(token_ids=found["ids"], data=found["strings"], usage=Usage())

    async def _prepare(self, request: GenerateRequest) -> Prepared[Question]:
        chat = await self._chat.for_request(request) if self._chat else None
        constraint = await self._constraint(request, chat)
        asked = await self._prompt(request)
        found = await self._read("prompt", asked, constraint=constraint)
        field = "messages" if request.messages is not None else "prompt"
        ids: Sequence[int] = found["ids"]
        if not ids:
            raise InvalidRequest("A prompt has at least one token.", field)
        defaults = self._facts["defaults"]
        most = max_tokens(request, len(ids), field, self.max_model_len, defaults.get("max_tokens"))
        sampling = self._sampling(request, most) | {"constraint": constraint}
        if chat is not None:
            sampling["special"] = not chat.wanted.skip_special_tokens
        media = {name: asked[name] for name in MEDIA if name in asked}
        payload = TextPayload(ids, found["text"], sampling, chat, media)
        # What its parsers have read so far would be lost with the stream.
        resumable = preemptable(request) and constraint is None and chat is None
        return Prepared(request, len(ids), most, payload, resumable=resumable)

    async def _read(self, task: str, inputs: Mapping[str, Any], **parameters: Any) -> Any:
        """Ask the worker to read something. One that never comes to an end is ended."""
        try:
            async with asyncio.timeout(PREPARE_SECONDS):
                return await self._worker.ask(Call(task, inputs, parameters), "prepare")
        except TimeoutError:
            await self._worker.kill(f"it took more than {PREPARE_SECONDS:g} s to read a prompt")
            raise EngineCrashed(f"The engine of `{self._card.id}` did not read a prompt.") from None

    async def _prompt(self, request: GenerateRequest | TokenizeRequest) -> dict[str, Any]:
        if request.messages is None:
            prompt = request.prompt or ""
            return {"prompt": prompt if isinstance(prompt, str) else list(prompt)}
        tools = request.tools if getattr(request, "tool_choice", "auto") != "none" else ()
        return {
            "messages": [_with_places(each) for each in self._plain.messages(request.messages)],
            "tools": self._plain.tools(tools),
            "kwargs": dict(request.chat_template_kwargs),
            **await self._media(request.messages),
        }

    async def _media(self, messages: Sequence[Message]) -> dict[str, Any]:
        """Pictures and sounds as files, and where each stands. Raises RequestError."""
        if not self._facts.get("pictures"):
            refuse_pictures(messages)
        if not self._facts.get("sounds"):
            refuse_sounds(messages)
        if not has_media(messages):
            return {}
        pictures = await asyncio.to_thread(check_pictures, messages)
        sounds = await asyncio.to_thread(check_sounds, messages, self._facts.get("window"))
        files = [Media(raw, PICTURE) for _, raw in pictures] + [
            Media(raw, SOUND) for _, raw in sounds
        ]
        return {"files": files, "fields": [field for field, _ in (*pictures, *sounds)]}

    async def _constraint(
        self, request: GenerateRequest, chat: ChatRequest | None
    ) -> tuple[str, str] | None:
        """The structure that the answer follows, as kind and text. Raises InvalidRequest."""
        from vllm.exceptions import VLLMClientError

        wanted: Any = chat.wanted.structured_outputs if chat is not None else None
        try:
            if wanted is None and request.sampling.structured is not None:
                wanted = structured_params(request.sampling.structured)
        except (VLLMClientError, ValueError) as error:
            raise client_error(error, "response_format") from error
        if wanted is None:
            return None
        if chat is not None and chat.has_reasoning:
            raise UnsupportedParameter(
                "Under this engine a model that reasons first cannot follow a structure.",
                "response_format" if request.sampling.structured is not None else "tool_choice",
            )
        if self._trial is not None:
            await self._trial.check(wanted, "response_format")
        return as_grammar(wanted.choice) if wanted.choice else kind_and_text(wanted)

    def _sampling(self, request: GenerateRequest, most: int) -> dict[str, Any]:
        from vllm.exceptions import VLLMClientError

        try:
            params = sampling_params(request.sampling, most, self._facts["defaults"])
        except (VLLMClientError, ValueError) as error:
            raise client_error(error, None) from error
        size = int(self._facts["vocabulary"])
        bad = next((i for i in params.logit_bias or () if not 0 <= i < size), None)
        if bad is not None:
            raise InvalidRequest(f"Token id {bad} is not in the vocabulary.", "logit_bias")
        return {name: getattr(params, name) for name in SAME}

    async def generate(self, prepared: Prepared[Any]) -> AsyncGenerator[Output, None]:
        """The answer, token by token. Closing it takes the request back."""
        if isinstance(prepared.payload, Output):
            yield prepared.payload
            return
        payload: TextPayload = prepared.payload
        answer = TextAnswer(prepared)
        inputs: dict[str, Any] = {"ids": payload.ids, "said": prepared.generated}
        if payload.media:
            inputs |= {"text": payload.text, **payload.media}
        call = Call("text-generation", inputs, payload.sampling)
        async with aclosing(self._worker.stream(call)) as pieces:
            async for updates, prompt in pieces:
                for output in answer.outputs(updates, prompt):
                    yield output


class TextAnswer:
    """Turns the worker's updates of one request into Outputs, and counts."""

    def __init__(self, prepared: Prepared[GenerateRequest]) -> None:
        payload: TextPayload = prepared.payload
        self._prepared, self._payload = prepared, payload
        self._left = prepared.request.sampling.n
        chat, ids = payload.chat, list(payload.ids)
        self._chats = [chat.answer(ids) for _ in range(self._left)] if chat is not None else []
        self._completion_tokens = len(prepared.generated)
        self._first = not prepared.generated

    def outputs(self, updates: Sequence[Any], prompt: Sequence[Any] | None) -> list[Output]:
        """The new pieces, one per choice that has any."""
        found = [self._output(*update) for update in updates]
        if self._first:
            self._first = False
            self._add_prompt(found[0], prompt)
        if not self._left:
            usage = Usage(self._prepared.prompt_tokens, self._completion_tokens)
            found[-1].usage = usage
        return found

    def _output(self, index: int, text: str, token_id: int, logprobs: Any, reason: str) -> Output:
        self._completion_tokens += 1
        said = None if logprobs is None else [_logprob(*logprobs)]
        if self._payload.sampling["logprobs"] is not None and said is None:
            said = []
        finish = FinishReason(reason) if reason else None
        output = Output(text, (token_id,), index, said, finish)
        if reason:
            self._left -= 1
        if self._chats:
            self._chats[index].split(output)
        return output

    def _add_prompt(self, output: Output, prompt: Sequence[Any] | None) -> None:
        output.prompt_token_ids = self._payload.ids
        output.prompt_text = self._payload.text
        if self._payload.sampling["prompt_logprobs"] is not None:
            output.prompt_logprobs = [None, *(_logprob(*each) for each in prompt or ())]


def _logprob(token: str, token_id: int, logprob: float, top: Sequence[Any]) -> TokenLogprob:
    # OpenAI's floor: JSON has no minus infinity.
    best = tuple(TokenLogprob(word, i, max(value, -9999.0)) for word, i, value in top)
    return TokenLogprob(token, token_id, max(logprob, -9999.0), best)


def _with_places(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with the places of its pictures and sounds, which travel beside it, as files."""
    content = message.get("content")
    if not isinstance(content, list):
        return dict(message)
    parts = [PLACES.get(part["type"], part) for part in content]
    return {**message, "content": parts}


def _tokenizer(loading: Mapping[str, Any]) -> Any:
    """For what is done on this side of the socket; and vLLM, which checks parameters."""
    import vllm.sampling_params  # noqa: F401
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    revision = loading["revision"] or None
    given = {"revision": revision, "trust_remote_code": False}
    try:
        return AutoTokenizer.from_pretrained(loading["source"], **given)
    except (ValueError, OSError) as error:
        if not loading["trust"]:
            raise
        # Its own class runs in the jail only; what it reads words from may do without.
        try:
            return PreTrainedTokenizerFast.from_pretrained(loading["source"], **given)
        except (ValueError, OSError):
            raise LoadFailed(
                "Its tokenizer is code of its own, which does not run outside of a jail."
            ) from error
