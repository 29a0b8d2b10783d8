"""What callers are told of how a model was made to fit."""

from __future__ import annotations

import httpx

from tests.api.asking import CHAT, TEXT, user

PLACE = "x-llms-placement"


def test_answers_say_how_their_model_fits(http: httpx.Client) -> None:
    asked = {"model": "echo-tight", "messages": user("one two")}
    for body in (asked, asked | {"stream": True}):
        answer = http.post(CHAT, json=body)
        # Its load runs out of memory on every rung but this one.
        assert answer.headers[PLACE] == "rung=4bit; engine=echo; devices=1"
    ranked = http.post(
        "/v1/rerank", json={"model": "echo-rerank", "query": "a", "documents": ["b"]}
    )
    assert ranked.headers[PLACE].startswith("rung=full; engine=echo")
    told = http.get("/v1/models/echo-tight").json()["llms"]["placement"]
    assert (told["rung"], told["loaded"], told["tokens_per_second"]) == ("4bit", True, None)
    assert "4 bits" in told["quality"]


def test_stream_that_began_before_says_it_before_the_first_token(http: httpx.Client) -> None:
    body = {"model": "echo-tight-late", "prompt": "one", "stream": True}
    answer = http.post(TEXT, json=body)
    assert answer.headers[PLACE].startswith("rung=full")
    comment = ": placement rung=8bit; engine=echo; devices=1\n\n"
    assert 0 < answer.text.index(comment) < answer.text.index("data: ")


def test_refusal_says_what_every_rung_would_take(http: httpx.Client) -> None:
    answer = http.post(TEXT, json={"model": "echo-huge", "prompt": "one"})
    assert answer.status_code == 503 and PLACE not in answer.headers
    assert "as it was published" in answer.json()["error"]["message"]
