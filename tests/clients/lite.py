"""Runs in the environment of requirements/clients.txt; prints one JSON object per question."""

import json
import os
import sys
from typing import Any

# Else it fetches a list of prices when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

base, model = sys.argv[1:]
litellm.telemetry = False
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def ask(text: str, **more: Any) -> Any:
    return litellm.completion(
        model=f"openai/{model}",
        messages=[{"role": "user", "content": text}],
        api_base=base,
        api_key="x",
        temperature=0,
        max_tokens=80,
        num_retries=0,
        **more,
    )


def said(name: str, value: Any) -> None:
    print(json.dumps({name: value}, default=str), flush=True)


def main() -> None:
    answer = ask("What is the capital of France?")
    said("invoke", [answer.choices[0].message.content, answer.usage.total_tokens])
    chunks = list(
        ask("What is the capital of France?", stream=True, stream_options={"include_usage": True})
    )
    said("stream", "".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    called = ask("What is the weather in Rome?", tools=[TOOL]).choices[0].message.tool_calls
    said("auto", [called[0].function.name, json.loads(called[0].function.arguments)])
    called = ask("Hello", tools=[TOOL], tool_choice="required").choices[0].message.tool_calls
    said("required", [called[0].function.name, json.loads(called[0].function.arguments)])
    text = litellm.text_completion(
        model=f"text-completion-openai/{model}",
        prompt="The capital of France is",
        api_base=base,
        api_key="x",
        max_tokens=5,
        temperature=0,
    )
    said("text", text.choices[0].text)
    try:
        litellm.completion(
            model="openai/nope",
            messages=[{"role": "user", "content": "x"}],
            api_base=base,
            api_key="x",
        )
    except litellm.NotFoundError as error:
        said("unknown", error.status_code)
    try:
        ask("word " * 5000)
    except litellm.ContextWindowExceededError as error:
        said("too long", error.status_code)


main()
