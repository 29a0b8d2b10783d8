"""What each parameter of `/v1` does, in a sentence: for the document, and for models' pages.

A field of a serializer without a row here fails `tests/api/test_description.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WORDS: Mapping[str, str] = {
    "model": "The model's id or alias; left out, the default model answers.",
    "messages": "The conversation so far.",
    "prompt": "The text to go on with, or to turn into tokens.",
    # Vectors and rankings.
    "input": "What to turn into vectors: a text or several, or their token ids.",
    "dimensions": "The vectors' length, where the model was trained for several.",
    "encoding_format": "Vectors as numbers, or as base64 of little-endian float32.",
    "truncate_prompt_tokens": "Keeps so many tokens of each text, -1: as many as fit; left out, a "
    "text that is too long is refused.",
    "query": "What the documents are to fit.",
    "documents": "The texts that are ranked or scored.",
    "top_n": "Only so many of the best.",
    "return_documents": "Whether the texts come back beside their scores.",
    "text_1": "The first of each pair, or one text for all pairs.",
    "text_2": "The second of each pair.",
    "queries": "The same as `text_1`.",
    "items": "The same as `documents`.",
    "data_1": "The same as `text_1`.",
    "data_2": "The same as `text_2`.",
    # How tokens are drawn.
    "temperature": "How freely tokens are drawn: 0 takes the likeliest each time, more is more "
    "varied.",
    "top_p": "Tokens are drawn from the likeliest with this probability together; 1: from all.",
    "top_k": "Tokens are drawn from so many of the likeliest; 0 or -1: from all.",
    "min_p": "Tokens less likely than this part of the likeliest one's probability are not drawn.",
    "presence_penalty": "Above 0, tokens that the answer has already are drawn less; below, more.",
    "frequency_penalty": "As `presence_penalty`, once for each time that the answer has the token.",
    "repetition_penalty": "Above 1, tokens of the prompt and the answer are drawn less; below, "
    "more.",
    "logit_bias": "Makes single tokens, by their ids, less (to -100) or more (to 100) likely.",
    "seed": "The same seed with the same request draws the same tokens, as far as the engine can.",
    # How long, and how many.
    "max_tokens": "At most so many tokens in an answer; left out, what the context has room for in "
    "a chat, and 16 in a completion.",
    "max_completion_tokens": "OpenAI's newer name of `max_tokens` in a chat.",
    "min_tokens": "An answer does not end before it has so many tokens.",
    "ignore_eos": "The answer goes on past its own end, until `max_tokens`.",
    "stop": "The answer ends before the first of these texts.",
    "n": "So many answers to each prompt.",
    "best_of": "So many answers are made, and the `n` best by mean logprob returned.",
    # How it is told.
    "stream": "The answer comes as events, while it is written.",
    "stream_options": "With `stream`; `include_usage`: it ends with how many tokens there were.",
    "echo": "The prompt is told before the answer.",
    "logprobs": "How likely the tokens were: true in a chat; of a completion, how many others.",
    "top_logprobs": "With `logprobs`, how many alternatives to each token a chat tells.",
    "modalities": "What a chat may answer with: text is all there is.",
    # What it says.
    "response_format": "Holds the answer to JSON (`json_object`), or to a schema (`json_schema`).",
    "structured_outputs": "Holds the answer to exactly one JSON Schema, regex, choice or grammar.",
    "tools": "Functions that the model may ask the caller to call.",
    "tool_choice": "`none`, `auto` (what it wants), `required` (at least one), or a certain one.",
    "parallel_tool_calls": "Whether it may ask for several calls at once.",
    "functions": "The older spelling of `tools`.",
    "function_call": "The older spelling of `tool_choice`.",
    "reasoning_effort": "How much it thinks before it answers, as its chat template knows it; "
    "`none` turns that off.",
    "chat_template_kwargs": "Switches of its chat template, such as `enable_thinking`.",
    # Tokens.
    "tokens": "The token ids to turn into text.",
    "add_special_tokens": "Whether tokens that mark beginning and end are added.",
    "add_generation_prompt": "Whether the beginning of an answer follows the messages.",
    "return_token_strs": "Whether each token's text is told too.",
}
# What holds where a parameter is left out, and neither a model nor its engine says otherwise.
DEFAULTS: Mapping[str, Any] = {
    "add_generation_prompt": True,
    "echo": False,
    "encoding_format": "float",
    "frequency_penalty": 0,
    "ignore_eos": False,
    "min_p": 0,
    "min_tokens": 0,
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "repetition_penalty": 1,
    "return_documents": True,
    "return_token_strs": False,
    "stream": False,
    "temperature": 1,
    "top_k": 0,
    "top_logprobs": 0,
    "top_p": 1,
}
