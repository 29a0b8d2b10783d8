"""Runs in the environment of requirements/clients.txt; prints one JSON object per question."""

import json
import sys
from typing import Annotated, Any

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

base, model = sys.argv[1:]
QUESTION = "What is the capital of France?"
WEATHER = "What is the weather in Rome?"


class Size(BaseModel):
    """How large something is."""

    size: str = Field(pattern="^(small|large)$")
    count: Annotated[int, Field(ge=0, le=99)]


@tool
def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"sunny in {city}"


def said(name: str, value: Any) -> None:
    print(json.dumps({name: value}, default=str), flush=True)


def joined(chunks: Any) -> Any:
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    return whole


def main() -> None:
    llm = ChatOpenAI(
        model=model, base_url=base, api_key="x", temperature=0, max_retries=0, max_tokens=80
    )
    answer = llm.invoke(QUESTION)
    said("invoke", [answer.content, answer.usage_metadata, answer.response_metadata])
    streamed = joined(llm.stream(QUESTION, stream_usage=True))
    said("stream", [streamed.content, streamed.usage_metadata])
    said("batch", [each.content for each in llm.batch([QUESTION, QUESTION])])
    tools = llm.bind_tools([get_weather])
    asked = tools.invoke(WEATHER)
    said("auto", asked.tool_calls)
    said("auto streamed", joined(tools.stream(WEATHER)).tool_calls)
    result = get_weather.invoke(asked.tool_calls[0])
    said("loop", tools.invoke([("user", WEATHER), asked, result]).content)
    said("any", llm.bind_tools([get_weather], tool_choice="any").invoke("Hello").tool_calls)
    named = llm.bind_tools([get_weather], tool_choice="get_weather", parallel_tool_calls=False)
    said("named", named.invoke("Hello").tool_calls)
    for method in ("function_calling", "json_schema"):
        structured = llm.with_structured_output(Size, method=method)
        said(method, structured.invoke("How large is it?").model_dump())
    loose = llm.with_structured_output(None, method="json_mode")
    said("json_mode", loose.invoke("Answer in JSON."))
    logprobs = llm.bind(logprobs=True, top_logprobs=2).invoke(QUESTION)
    # Unless told not to, it sends token ids of OpenAI's own vocabulary, which it downloads first.
    embeddings = OpenAIEmbeddings(
        model="my-embedder", base_url=base, api_key="x", check_embedding_ctx_length=False
    )
    said("vectors", embeddings.embed_documents(["a cat", "a dog"]))
    said("vector", embeddings.embed_query("a cat"))
    said("logprobs", len(logprobs.response_metadata["logprobs"]["content"]))


main()
