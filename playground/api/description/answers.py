"""JSON Schemas of what the API answers. Every property that may appear is named here."""

from __future__ import annotations

from typing import Any

from playground.accounts.models.sums import COUNTED

from .requests import Schema, nullable, ref

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
# Of a switch from one model to another.
PARTS = ("load", "drain", "sleep", "wake", "unload")


def _all(properties: dict[str, Schema], **optional: Schema) -> Schema:
    """An object; `properties` are always there, `optional` ones sometimes."""
    known = {**properties, **optional}
    return {"type": "object", "properties": known, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _const(value: Any) -> Schema:
    return {"const": value}


def _enum(*values: Any) -> Schema:
    return {"enum": list(values)}


def answers() -> dict[str, Schema]:
    """The components that responses refer to."""
    return {**_shared(), **_chat(), **_completion(), **_tasks(), **_models(), **_queue()}


def _shared() -> dict[str, Schema]:
    error = _all({"message": TEXT, "type": TEXT, "param": nullable(TEXT), "code": nullable(TEXT)})
    return {
        "Error": _all({"error": error}),
        "Usage": _all(
            {
                "prompt_tokens": COUNT,
                "completion_tokens": COUNT,
                "total_tokens": COUNT,
                "prompt_tokens_details": _all({"cached_tokens": COUNT}),
            }
        ),
    }


def _answer(kind: str, choice: Schema) -> Schema:
    return _all(
        {
            "id": TEXT,
            "object": _const(kind),
            "created": COUNT,
            "model": TEXT,
            "choices": _list(choice),
        },
        usage=nullable(ref("Usage")),
    )


def _chat() -> dict[str, Schema]:
    reasoning = {"reasoning_content": TEXT, "reasoning": TEXT}
    call = {"name": TEXT, "arguments": TEXT}
    whole_call = _all({"id": TEXT, "type": _const("function"), "function": _all(call)}, index=COUNT)
    message = _all(
        {"role": _const("assistant"), "content": nullable(TEXT), "refusal": nullable(TEXT)},
        **reasoning,
        tool_calls=_list(whole_call),
        function_call=_all(call),
    )
    finish = ["stop", "length", "tool_calls", "function_call"]
    logprobs = nullable(ref("ChatLogprobs"))
    delta = _all(
        {},
        role=_const("assistant"),
        content=TEXT,
        refusal=nullable(TEXT),
        **reasoning,
        tool_calls=_list(
            _all({"index": COUNT, "function": _all({}, **call)}, id=TEXT, type=_const("function"))
        ),
        function_call=_all({}, **call),
    )
    choice = {"index": COUNT, "logprobs": logprobs}
    token = {"token": TEXT, "logprob": NUMBER, "bytes": nullable(_list(COUNT))}
    return {
        "ChatAnswer": _answer(
            "chat.completion", _all({**choice, "message": message, "finish_reason": _enum(*finish)})
        ),
        "ChatChunk": _answer(
            "chat.completion.chunk",
            _all({**choice, "delta": delta, "finish_reason": _enum(*finish, None)}),
        ),
        "ChatLogprobs": _all(
            {"content": _list(_all({**token, "top_logprobs": _list(_all(token))}))},
            refusal={"type": "null"},
        ),
    }


def _completion() -> dict[str, Schema]:
    choice = {
        "index": COUNT,
        "text": TEXT,
        "logprobs": nullable(ref("TextLogprobs")),
    }
    whole, piece = _enum("stop", "length"), _enum("stop", "length", None)
    top = {"type": "object", "additionalProperties": NUMBER}
    return {
        "CompletionAnswer": _answer("text_completion", _all({**choice, "finish_reason": whole})),
        "CompletionChunk": _answer("text_completion", _all({**choice, "finish_reason": piece})),
        "TextLogprobs": _all(
            {
                "text_offset": _list(COUNT),
                "token_logprobs": _list(nullable(NUMBER)),
                "tokens": _list(TEXT),
                "top_logprobs": _list(nullable(top)),
            }
        ),
    }


def _tasks() -> dict[str, Schema]:
    """What is answered in one piece."""
    usage = {"usage": _all({"prompt_tokens": COUNT, "total_tokens": COUNT})}
    vector: Schema = {"anyOf": [_list(NUMBER), {"type": "string", "contentEncoding": "base64"}]}
    embedding = {"object": _const("embedding"), "index": COUNT, "embedding": vector}
    result = {"index": COUNT, "relevance_score": NUMBER}
    score = {"index": COUNT, "object": _const("score"), "score": NUMBER}
    results = _list(_all(result, document=_all({"text": TEXT})))
    return {
        "EmbeddingList": _all(
            {"object": _const("list"), "data": _list(_all(embedding)), "model": TEXT, **usage}
        ),
        "RerankAnswer": _all({"id": TEXT, "model": TEXT, "results": results, **usage}),
        "ScoreAnswer": _all(
            {
                "id": TEXT,
                "object": _const("list"),
                "created": COUNT,
                "model": TEXT,
                "data": _list(_all(score)),
                **usage,
            }
        ),
        "Tokens": _all(
            {
                "count": COUNT,
                "max_model_len": nullable(COUNT),
                "tokens": _list(COUNT),
                "token_strs": nullable(_list(TEXT)),
            }
        ),
        "Detokenized": _all({"prompt": TEXT}),
        "Heard": _heard(),
    }


def _heard() -> Schema:
    """The text; with `verbose_json` more about it."""
    segment = _all({"id": COUNT, "start": NUMBER, "end": NUMBER, "text": TEXT})
    return _all(
        {"text": TEXT},
        task=_enum("transcribe", "translate"),
        language=TEXT,
        duration=NUMBER,
        segments=_list(segment),
    )


def _models() -> dict[str, Schema]:
    model = {"id": TEXT, "object": _const("model"), "created": COUNT, "owned_by": TEXT}
    engine = {"id": TEXT, "object": _const("engine"), "owner": TEXT, "ready": FLAG}
    states = _enum(
        "unloaded",
        "downloading",
        "loading",
        "ready",
        "draining",
        "sleeping",
        "stopping",
        "failed",
        "closed",
    )
    placement = {
        "rung": _enum("full", "8bit", "4bit", "cpu_offload", "disk_offload"),
        "engine": TEXT,
        "devices": COUNT,
        "loaded": FLAG,
        "dtype": TEXT | {"description": "What it computes in; auto: as it was published."},
        "tokens_per_second": nullable(NUMBER) | {"description": "An estimate for one answer."},
        "quality": TEXT,
    }
    live = {
        "state": states,
        "detail": TEXT,
        "tier": _enum("S", "A", "C"),
        "engine": TEXT,
        "task": TEXT,
        "running": COUNT,
        "waiting": COUNT,
        "max_model_len": nullable(COUNT)
        | {"description": "Tokens of context; null until the model was loaded once."},
        "default": FLAG,
        "aliases": _list(TEXT),
        "capabilities": _list(TEXT),
        "input_modalities": _list(_enum("text", "image", "audio"))
        | {"description": "What a message to it may hold; empty where there is no chat."},
        "supported_parameters": _list(TEXT),
        "parameters": {"type": "object", "additionalProperties": ref("Parameter")},
        "revision": nullable(TEXT) | {"description": "The commit of a model from the Hub."},
        "placement": nullable(_all(placement)),
        "weight_bytes": nullable(COUNT),
        "measured": _all(
            {
                "tokens_per_second": nullable(NUMBER),
                "answer_seconds": nullable(NUMBER),
                "load_seconds": nullable(NUMBER),
            }
        )
        | {"description": "Of one answer, and of the last load; null where there was none."},
    }
    return {
        "Model": _all(model),
        "ModelDetail": _all({**model, "llms": _all(live)}),
        "Parameter": _parameter(),
        "ModelList": _all({"object": _const("list"), "data": _list(ref("Model"))}),
        "Engine": _all(engine),
        "EngineList": _all({"object": _const("list"), "data": _list(ref("Engine"))}),
    }


def _parameter() -> Schema:
    kinds = _enum("array", "boolean", "integer", "null", "number", "object", "string")
    bounds = ("minimum", "exclusiveMinimum", "maximum")
    return _all(
        {"description": TEXT, "routes": _list(TEXT)},
        type={"anyOf": [kinds, _list(kinds)]},
        enum={"type": "array"},
        default={"description": "What holds for this model where it is left out."},
        required=_const(True),
        maxLength=COUNT,
        maxItems=COUNT,
        **dict.fromkeys(bounds, NUMBER),
    )


def _queue() -> dict[str, Schema]:
    eta = nullable(NUMBER) | {"description": "Seconds until its turn; null where not known."}
    waiting = {
        "id": TEXT,
        "object": _const("queue.request"),
        "model": TEXT,
        "position": {"type": "integer", "minimum": 1},
        "eta": eta,
        "queued_seconds": NUMBER,
        "stage": _enum("downloading", "queued", "loading"),
        "detail": TEXT,
        "progress": nullable(NUMBER) | {"description": "Of a download, 0 to 1."},
    }
    device = {"id": TEXT, "name": TEXT, "memory_bytes": COUNT, "free_bytes": COUNT}
    resident = {
        "model": TEXT,
        "state": TEXT,
        "detail": TEXT,
        "tier": _enum("S", "A", "C"),
        "devices": _list(TEXT),
        "bytes_per_device": COUNT,
        "running": COUNT,
        "waiting": COUNT,
        "ready_in": nullable(NUMBER),
        "turn_left": nullable(NUMBER),
    }
    download = {
        "model": TEXT,
        "bytes": COUNT,
        "total_bytes": COUNT,
        "eta": eta,
        "waiting": COUNT,
    }
    took = nullable(NUMBER) | {"description": "Measured; null where it never happened."}
    status = {
        "object": _const("status"),
        "created": COUNT,
        "accepting": FLAG,
        "devices": _list(_all(device)),
        "resident": _list(_all(resident)),
        "next": _list(_all({"model": TEXT, "waiting": COUNT, "eta": eta})),
        "downloads": _list(_all(download)),
        "switching": _list(_all({"model": TEXT, **{f"{part}_seconds": took for part in PARTS}})),
    }
    amounts = {name: NUMBER if name.endswith("_seconds") else COUNT for name in COUNTED}
    key = {"id": nullable(COUNT), "name": TEXT, **amounts}
    used = {
        "object": _const("usage"),
        "start": COUNT,
        "days": COUNT,
        "total": _all(amounts),
        "keys": _list(_all(key)),
        "models": _list(_all({"id": TEXT, **amounts})),
    }
    return {
        "UsageReport": _all(used),
        "QueueList": _all({"object": _const("list"), "data": _list(_all(waiting))}),
        "Status": _all(status),
    }
