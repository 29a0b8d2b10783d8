"""HARDENING.md where a real engine is attacked: ids, constraints, control tokens, logs."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.asking import CHAT, TEXT, error_of, user
from tests.api.witness import unharmed
from tests.servers import RunningServer

pytestmark = pytest.mark.engine


@pytest.fixture
def pocket(pocket_server: RunningServer) -> Iterator[httpx.Client]:
    """HTTP to the server whose engine is loaded; the engine serves as before when it is over."""
    with (
        unharmed(pocket_server, "pocket"),
        httpx.Client(base_url=pocket_server.url, timeout=60) as found,
    ):
        yield found


def ask(http: httpx.Client, text: Any = "Hi", **more: Any) -> httpx.Response:
    """A short chat answer."""
    given = {"model": "pocket", "messages": user(text), "max_tokens": 8, "temperature": 0}
    return http.post(CHAT, json=given | more)


# I7
def test_ids_that_are_none_are_refused(pocket: httpx.Client) -> None:
    for prompt in ([-1], [2**31], [2**31 - 1], [2560], [5, 99999], [[5], [99999]], []):
        response = pocket.post(TEXT, json={"model": "pocket", "prompt": prompt})
        assert response.status_code == 400, prompt
        assert (error_of(response)["param"] or "").startswith("prompt")
    for bias in ({"2560": 1}, {"99999": 1}, {"2147483648": 1}, {"-1": 1}, {"5": 101}, {"5": "x"}):
        response = ask(pocket, logit_bias=bias)
        assert response.status_code == 400, bias
        assert (error_of(response)["param"] or "").startswith("logit_bias")


# I9. Well beyond the five seconds on a quick machine too, and within the limits of size.
BOMBS: dict[str, dict[str, Any]] = {
    "half of three hundred": {
        "json": {
            "type": "object",
            "properties": {f"p{i}": {"type": "string"} for i in range(300)},
            "minProperties": 150,
        }
    },
    "rules in a ring": {
        "grammar": "root ::= "
        + "|".join(f'"x{i}" r{i}' for i in range(1250))
        + "".join(f'\nr{i} ::= [a-z]* r{(i + 1) % 1250} | "q"' for i in range(1250))
    },
}


async def test_a_bomb_is_stopped_and_nobody_waits_for_it(pocket_server: RunningServer) -> None:
    """It would compile for long; other callers' answers and other callers' schemas do not wait."""

    async def bomb(http: httpx.AsyncClient, constraint: dict[str, Any]) -> httpx.Response:
        body = {"model": "pocket", "messages": user("x"), "structured_outputs": constraint}
        return await http.post(CHAT, json=body)

    async with httpx.AsyncClient(base_url=pocket_server.url, timeout=120) as http:
        with unharmed(pocket_server, "pocket"):
            started = time.perf_counter()
            bombs = [asyncio.create_task(bomb(http, each)) for each in BOMBS.values()]
            while not all(task.done() for task in bombs):
                asked = time.perf_counter()
                body = {"model": "pocket", "messages": user("Hi"), "max_tokens": 20}
                body |= {"structured_outputs": {"json": {"enum": ["red", "blue"]}}}
                answer = await http.post(CHAT, json=body)
                assert answer.status_code == 200
                assert time.perf_counter() - asked < 3
                await asyncio.sleep(0.2)
        for task in bombs:
            assert task.result().status_code == 400
            assert "longer than" in error_of(task.result())["message"]
        # Its verdict is remembered.
        started = time.perf_counter()
        again = await bomb(http, BOMBS["rules in a ring"])
        assert again.status_code == 400 and time.perf_counter() - started < 1


ODD: list[dict[str, Any]] = [
    {"regex": "((a{1,100}){1,100}){1,100}"},
    {"regex": "(a+)+(a+)+(a+)+b"},
    {"regex": "(.*a.{300}){30}"},
    {"regex": "a{1,100000000}"},
    {"regex": "(?:" * 300 + "a" + ")*" * 300},
    {"regex": "\\"},
    {"grammar": "root ::= root root | root | "},
    {"grammar": 'root ::= ((("a"{1,1000}){1,1000}){1,1000})'},
    {"grammar": "root ::= " + "(" * 5000 + '"a"' + ")" * 5000},
    {"grammar": "start: start start | start"},
    {"grammar": "not a grammar at all"},
    {"json": {"type": "array", "minItems": 10**9, "items": {"type": "array"}}},
    {"json": {"type": "string", "minLength": 10**12}},
    {"json": {"type": "string", "pattern": "^(a+)+$", "minLength": 5}},
    {"json": {"patternProperties": {"(a+)+": {}, "(b+)+": {}}}},
    {"json": {"allOf": [{"type": "string"}, {"type": "integer"}]}},
    {"json": {"type": "nothing"}},
    {"json": {"type": 5, "properties": [], "required": "x", "enum": {}}},
    {"choice": ["x" * 4096] * 100},
]


def test_an_odd_constraint_is_followed_or_refused(pocket: httpx.Client) -> None:
    for constraint in ODD:
        for stream in (False, True):
            response = ask(pocket, structured_outputs=constraint, stream=stream)
            assert response.status_code in (200, 400), (constraint, response.text)
            if response.status_code == 400:
                assert error_of(response)["type"] == "invalid_request_error"
            else:
                assert '"error"' not in response.text


# P1
def test_a_canary_is_in_no_log(pocket_server: RunningServer) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    headers = {"authorization": f"Bearer sk-{canary}", "x-request-id": canary}
    bodies: list[dict[str, Any]] = [
        {"messages": user(canary)},
        {"messages": user(canary), "stream": True},
        {"messages": user(canary), "n": canary},
        {"messages": user(canary), "model": canary},
        {"messages": user(canary * 2000)},
        {"messages": user("x"), canary: canary},
        {"messages": user("x"), "stop": [canary], "user": canary, "metadata": {canary: canary}},
        {"messages": user("x"), "structured_outputs": {"regex": f"{canary}(("}},
        {"messages": user("x"), "structured_outputs": {"grammar": f"root ::= {canary}"}},
        {"messages": user("x"), "structured_outputs": {"json": {"enum": [canary]}}},
        {"messages": user("x"), "chat_template_kwargs": {"reasoning_effort": canary}},
        {"messages": [{"role": "tool", "tool_call_id": canary, "content": canary}]},
        {"messages": user("x"), "tools": [{"type": "function", "function": {"name": canary}}]},
        {"prompt": canary, "echo": True},
        {"prompt": [canary, 5]},
    ]
    with httpx.Client(base_url=pocket_server.url, headers=headers, timeout=60) as http:
        for body in bodies:
            path = TEXT if "prompt" in body else CHAT
            response = http.post(path, json={"model": "pocket", "max_tokens": 4} | body)
            assert response.status_code < 500, response.text
        http.post(CHAT, content=b'{"messages": "' + canary.encode())
        http.get(f"/v1/models/{canary}")
        http.get(f"/v1/{canary}?key={canary}")
    logs = [pocket_server.log, *(pocket_server.data / "logs").rglob("*")]
    assert len(logs) > 1
    for log in logs:
        assert canary not in log.read_text(errors="replace"), log.name


# P2
async def test_two_callers_with_one_request_id_are_two(pocket_server: RunningServer) -> None:
    async def one(http: httpx.AsyncClient, model: str, text: str) -> tuple[str, str]:
        body = {"model": model, "messages": user(text), "temperature": 0, "max_tokens": 20}
        response = await http.post(CHAT, json=body, headers={"x-request-id": "the same"})
        said = response.json()["choices"][0]["message"]["content"]
        return said, response.headers["x-request-id"]

    async with httpx.AsyncClient(base_url=pocket_server.url, timeout=60) as http:
        many = [one(http, "echo", f"word{i}") for i in range(900)]
        said = [await asyncio.gather(*many[i : i + 100]) for i in range(0, 900, 100)]
        echoes = [one(http, "echo", f"word{i}") for i in range(100)]
        capitals = [
            one(http, "pocket", f"What is the capital of {x}?") for x in ("France", "Italy")
        ]
        found = await asyncio.gather(*echoes, *capitals)
    assert [said for said, _ in found[:100]] == [f"0:word{i} " for i in range(100)]
    assert "Paris" in found[100][0] and "Rome" in found[101][0]
    found += [each for batch in said for each in batch]
    assert [text for text, _ in found[102:]] == [f"0:word{i} " for i in range(900)]
    assert len({request_id for _, request_id in found}) == len(found) == 1002
    assert "the same" not in json.dumps(found)
