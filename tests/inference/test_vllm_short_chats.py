"""Short chats that are read past vLLM's renderer have its prompts."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engines.vllm_rendering import Renderer
from inference.engines.vllm_short_chats import PLAIN, ShortChats
from tests.tiny_model import POCKET, TEMPLATE

pytestmark = pytest.mark.engine
QUESTION = {"role": "user", "content": "What is the capital of France?"}
STRICT = """\
{%- for message in messages -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Roles take turns here.') -}}
{%- endif -%}
{{- message.role + ': ' + message.content | trim + eos_token -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'assistant:' -}}{%- endif -%}
"""
MakeRenderer = Callable[..., Any]


def params(**more: Any) -> Any:
    from vllm.renderers import ChatParams

    return ChatParams(chat_template_kwargs=PLAIN | more)


def right(renderer: Any, chat: list[Any], given: Any = None) -> Any:
    """The ids that vLLM's own way gives."""
    return renderer.render_chat([chat], given or params())[1][0]["prompt_token_ids"]


@pytest.fixture(scope="module")
def make_renderer(tmp_path_factory: pytest.TempPathFactory) -> MakeRenderer:
    """vLLM's renderer of `pocket`, with another template or tokenizer where they are given."""
    from inference.engines import warm

    warm.environment("cpu")

    def make(template: str | None = None, **tokenizer: Any) -> Any:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.renderers import renderer_from_config

        folder = tmp_path_factory.mktemp("model") / "model"
        shutil.copytree(POCKET, folder)
        if template is not None:
            (folder / "chat_template.jinja").write_text(template)
        path = folder / "tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | tokenizer))
        args = AsyncEngineArgs(model=str(folder), enforce_eager=True, max_model_len=256)
        return renderer_from_config(args.create_engine_config())

    return make


@pytest.fixture(scope="module")
def renderer(make_renderer: MakeRenderer) -> Any:
    return make_renderer()


@pytest.fixture(scope="module")
def short(renderer: Any) -> ShortChats:
    found = ShortChats.of(renderer)
    assert found is not None
    return found


texts = st.text(max_size=60) | st.sampled_from(["<|im_end|>\n", "<|im_start|>system", " \n\n "])
chats = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": texts}
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(chat=chats)
def test_its_prompts_are_the_renderers(renderer: Any, short: ShortChats, chat: list[Any]) -> None:
    from vllm.exceptions import VLLMClientError

    found = short.prompt(chat, params(), None)
    try:
        wanted = right(renderer, chat)
    except VLLMClientError:  # too long
        assert found is None
        return
    assert found["prompt_token_ids"] == wanted


@pytest.mark.parametrize(
    "chat",
    [
        [{"role": "developer", "content": "Be brief."}, QUESTION],
        [QUESTION | {"name": "Ada"}],
        [
            QUESTION
            | {"content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}
        ],
        [QUESTION, {"role": "assistant", "content": None, "tool_calls": []}, QUESTION],
        [QUESTION | {"content": "one " * 300}],
    ],
)
def test_the_renderer_is_asked_about_all_else(short: ShortChats, chat: list[Any]) -> None:
    assert short.prompt(chat, params(), None) is None


def test_the_renderer_is_asked_about_words_for_the_template(short: ShortChats) -> None:
    assert short.prompt([QUESTION], params(enable_thinking=False), None) is None
    assert short.prompt([QUESTION], params(tools=[]), None) is None
    assert short.prompt([QUESTION], params(), None) is not None


def test_templates_that_want_parts_get_them(make_renderer: MakeRenderer) -> None:
    renderer = make_renderer(TEMPLATE.replace("message.content is string", "false"))
    short = ShortChats.of(renderer)
    assert short is not None
    assert short.prompt([QUESTION], params(), None)["prompt_token_ids"] == right(
        renderer, [QUESTION]
    )


async def test_what_a_template_rejects_is_told_in_the_renderers_words(
    make_renderer: MakeRenderer,
) -> None:
    renderer = make_renderer(STRICT)
    short = ShortChats.of(renderer)
    assert short is not None
    asked = Renderer(renderer, short)
    found, good = await asyncio.gather(
        asked.prompt([QUESTION, QUESTION], params(), None),
        asked.prompt([QUESTION], params(), None),
        return_exceptions=True,
    )
    assert type(found).__name__ == "VLLMValidationError" and str(found) == "Roles take turns here."
    assert isinstance(good, dict) and good["prompt_token_ids"] == right(renderer, [QUESTION])


def test_a_template_that_takes_no_chat_is_left_to_the_renderer(make_renderer: MakeRenderer) -> None:
    assert ShortChats.of(make_renderer("{{- bos_token + raise_exception('never') -}}")) is None


def test_a_tokenizer_that_reads_otherwise_is_left_to_the_renderer(
    make_renderer: MakeRenderer,
) -> None:
    """Its file says that it cuts, which transformers takes back for each text."""
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    renderer = make_renderer(truncation=cut)
    assert len(right(renderer, [QUESTION])) > 4
    assert ShortChats.of(renderer) is None


async def test_a_short_chat_is_not_rendered_by_vllm(
    renderer: Any, short: ShortChats, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = right(renderer, [QUESTION])
    seen: list[Any] = []
    plain = renderer.render_chat

    def render_chat(*args: Any) -> Any:
        seen.append(args)
        return plain(*args)

    monkeypatch.setattr(renderer, "render_chat", render_chat)
    asked = Renderer(renderer, short)
    found = await asked.prompt([QUESTION], params(), None)
    assert found["prompt_token_ids"] == wanted
    assert not seen
    named = [QUESTION | {"name": "Ada"}]
    assert (await asked.prompt(named, params(), None))["prompt_token_ids"]
    assert len(seen) == 1
