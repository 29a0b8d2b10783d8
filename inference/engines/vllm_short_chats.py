"""Short chats in plain text become prompts with the template and the tokenizer alone.

vLLM's renderer asks transformers for the ids of a chat, which looks at some twenty options and
reads one text as a batch: that is half of what a short chat costs there. Here the same template is
rendered and the same tokenizer reads it. Whether that gives the same prompts is tried out when a
model is loaded; where it does not, and for chats that are more than text, the renderer is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

# Other roles are rewritten by vLLM where a template does not know them.
ROLES = {"system", "user", "assistant"}
KEYS = {"role", "content"}
PLAIN = {"add_generation_prompt": True}
TEXTS = (
    "",
    "What is the capital of France?",
    "  spaces,\ttabs \n\n and lines \r\n",
    "Gr\u00fc\u00dfe, \u4f60\u597d, \u05e9\u05dc\u05d5\u05dd, e\u0301, \ufb01, \u200b\ufeff",
    "\U0001f469\u200d\U0001f52c \U0001f3f3\ufe0f\u200d\U0001f308",
    "def f(x):\n    return {'a': [1, 2.5e-3]}  # $\\alpha$ <b>&amp;</b> {{ x }} {% y %}",
    "0123456789" * 40,
)


class ShortChats:
    """The prompts of one model's short chats. Used on the renderer's thread."""

    def __init__(self, renderer: Any, template: str, takes_texts: bool) -> None:
        from transformers.utils.chat_template_utils import render_jinja_template

        tokenizer = renderer.get_tokenizer()
        self._renderer = renderer
        self._template = template
        self._takes_texts = takes_texts
        self._special: Mapping[str, Any] = dict(tokenizer.special_tokens_map)
        # It lets other threads run meanwhile, which `encode` does not, and counts no offsets.
        self._encode: Callable[..., Any] = tokenizer.backend_tokenizer.encode_batch_fast
        self._render: Callable[..., Any] = render_jinja_template

    @classmethod
    def of(cls, renderer: Any) -> Self | None:
        """None where its prompts are not the renderer's. Takes some milliseconds."""
        from vllm.renderers.hf import (
            HfRenderer,
            resolve_chat_template,
            resolve_chat_template_content_format,
        )
        from vllm.tokenizers.hf import ThreadSafeHFTokenizerMixin

        config = renderer.model_config
        if type(renderer) is not HfRenderer or config.is_multimodal_model:
            return None
        tokenizer = renderer.get_tokenizer()
        # Other threads read with copies of such a tokenizer, so that this one is never changed.
        if config.enable_prompt_embeds or not isinstance(tokenizer, ThreadSafeHFTokenizerMixin):
            return None
        template = resolve_chat_template(tokenizer, None, None, model_config=config)
        if template is None:
            return None
        content_format = resolve_chat_template_content_format(
            None, None, "auto", tokenizer, model_config=config
        )
        found = cls(renderer, template, content_format == "string")
        return found if found._is_right() else None

    def prompt(self, messages: Sequence[Any], params: Any, tokens: Any) -> Any:
        """What vLLM's engine is given; None where the renderer has to be asked.

        It is asked too about what the template or the checks reject, and says that in its words.
        """
        if params.chat_template_kwargs != PLAIN or not all(map(_is_plain, messages)):
            return None
        try:
            return self._prompt(messages, tokens or self._renderer.default_chat_tok_params)
        except Exception:
            return None

    def _prompt(self, messages: Sequence[Any], tokens: Any) -> Any:
        arrived = time.time()
        chat = messages if self._takes_texts else [_in_parts(message) for message in messages]
        said, _ = self._render([chat], chat_template=self._template, **PLAIN, **self._special)
        [read] = self._encode(said, add_special_tokens=False)
        prompt = self._renderer.tokenize_prompt({"prompt_token_ids": read.ids}, tokens)
        return self._renderer.process_for_engine(prompt, arrived, tok_params=tokens)

    def _is_right(self) -> bool:
        """Whether what it makes of some chats is what the renderer makes of them."""
        from vllm.renderers import ChatParams

        params = ChatParams(chat_template_kwargs=PLAIN)
        special = "".join(map(str, self._special.values()))
        found = [self._is_the_same(chat, params) for chat in _samples((*TEXTS, special))]
        return True in found and False not in found

    def _is_the_same(self, chat: list[Any], params: Any) -> bool | None:
        """None where the renderer rejects a chat, which it will be asked about."""
        try:
            right = self._renderer.render_chat([chat], params)[1][0]
        except Exception:  # no template takes every chat
            return None
        found = self.prompt(chat, params, None)
        return found is not None and _but_the_time(found) == _but_the_time(right)


def _is_plain(message: Any) -> bool:
    return (
        message.keys() == KEYS and message["role"] in ROLES and isinstance(message["content"], str)
    )


def _in_parts(message: Any) -> dict[str, Any]:
    """As templates want it that know of more than text."""
    return message | {"content": [{"type": "text", "text": message["content"]}]}


def _samples(texts: Sequence[str]) -> list[list[Any]]:
    """Each text as a question, as what a chat is about, and as an answer of before."""
    chats: list[list[Any]] = []
    for text in texts:
        question = {"role": "user", "content": text}
        chats.append([question])
        chats.append([{"role": "system", "content": text}, question])
        chats.append([question, {"role": "assistant", "content": text}, question])
    return chats


def _but_the_time(prompt: Any) -> dict[str, Any]:
    return {key: value for key, value in prompt.items() if key != "arrival_time"}
