"""Recorded answers of several model families through vLLM's own parsers, cut at every place."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from inference.parsing import parsers_for
from tests.servers import ROOT

# Runs apart: vLLM takes seconds to import and warns of much.
PROGRAM = r"""
import asyncio, json, sys
from types import SimpleNamespace as N
from transformers import AutoTokenizer
from inference.engines.vllm_chat import ChatParsing
from inference.requests import FinishReason, GenerateRequest, Message, Output

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": "b c", "n": 1}}\n</tool_call>'
CASES = [
    ("deepseek_r1", False, "", "let me see</think>Paris."),
    ("deepseek_r1", False, "", "<think>let me see</think>Paris."),
    ("deepseek_r1", True, "", "hm, the tool</think>" + CALL),
    ("qwen3", False, "", "<think>\nlet me\n</think>\n\nParis."),
    ("qwen3", True, "", "<think>hm</think>" + CALL + "\n" + CALL),
    ("", True, "hermes", "Wait. " + CALL),
    ("", True, "hermes", CALL + CALL),
    ("", True, "hermes", "no <tool> here"),
    ("", True, "hermes", '<tool_call>\n{"name": "f", "argu'),
]

async def main():
    tokenizer = AutoTokenizer.from_pretrained("inference/pocket/model")
    tokenizer.add_tokens(["<think>", "</think>"])
    config = N(hf_config=N(model_type="x"), model="pocket", hf_text_config=N(model_type="x"))
    llm = N(model_config=config, tokenizer=tokenizer)
    for reasoning, tools, parser, said in CASES:
        tokenizer.chat_template = "{{ tools }}<tool_call>" + ("<think>" if reasoning else "")
        parsing = ChatParsing(llm, parser or "hermes", reasoning)
        request = GenerateRequest(
            model="m", messages=(Message("user", "x"),), tools=(TOOL,) if tools else ())
        chat = await parsing.for_request(request)
        ids = tokenizer(said, add_special_tokens=False)["input_ids"]
        for size in (1, 2, 3, 7, len(ids)):
            answer = chat.answer([300])
            found = {"text": "", "reasoning": "", "calls": {}, "reason": None}
            for at in range(0, len(ids), size):
                part = ids[at : at + size]
                last = at + size >= len(ids)
                before = tokenizer.decode(ids[:at], skip_special_tokens=False)
                now = tokenizer.decode(ids[: at + size], skip_special_tokens=False)
                out = Output(now[len(before):], part)
                out.finish_reason = FinishReason.STOP if last else None
                answer.split(out)
                found["text"] += out.text
                found["reasoning"] += out.reasoning
                for call in out.tool_calls:
                    kept = found["calls"].setdefault(call["index"], ["", "", ""])
                    kept[0] += call.get("id", "") and "id"
                    kept[1] += call["function"].get("name", "")
                    kept[2] += call["function"].get("arguments", "")
                found["reason"] = out.finish_reason
            print(json.dumps([reasoning, tools, said, size, found]), flush=True)
asyncio.run(main())
"""


@pytest.mark.engine
def test_answers_are_split_the_same_wherever_they_are_cut() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(found) == 45
    for reasoning, _, said, size, answer in found:
        calls = [[name, json.loads(text)] for _, name, text in answer["calls"].values() if text]
        where = (said, size, answer)
        if reasoning:
            assert answer["reasoning"].strip() in ("let me see", "let me", "hm, the tool", "hm"), (
                where
            )
            assert "think>" not in answer["text"] + answer["reasoning"], where
        if "Paris" in said:
            assert answer["text"].strip() == "Paris.", where
        if "</tool_call>" in said:
            assert calls == [["f", {"a": "b c", "n": 1}]] * said.count("</tool_call>"), where
            assert answer["text"].strip() == ("Wait." if "Wait" in said else ""), where
            assert answer["reason"] == "tool_calls", where
            assert all(call[0] == "id" for call in answer["calls"].values()), where
        if "<tool>" in said:
            assert (answer["text"], calls) == (said, []), where


@pytest.mark.parametrize(
    ("template", "model_type", "tool", "reasoning", "free"),
    [
        ("{{ tools }} <tool_call> <think>", "qwen3", "hermes", "qwen3", True),
        ("{{ tools }} <tool_call><function=", "qwen3_moe", "qwen3_coder", "", True),
        ("{{ tools }} [TOOL_CALLS]", "mistral", "mistral", "", True),
        ("{{ tools }} <|python_tag|>", "llama", "llama3_json", "", True),
        ("<think>", "deepseek", "hermes", "deepseek_r1", False),
        ("plain", "llama", "hermes", "", False),
        ("anything", "gpt_oss", "openai", "openai_gptoss", True),
    ],
)
def test_a_family_is_told_by_its_template(
    template: str, model_type: str, tool: str, reasoning: str, free: bool
) -> None:
    found = parsers_for(template, model_type)
    assert (found.tool, found.reasoning, found.free_calls) == (tool, reasoning, free)


def test_the_card_has_the_last_word() -> None:
    found = parsers_for("{{ tools }} <tool_call> <think>", "qwen3", "mistral", "deepseek_r1")
    assert (found.tool, found.reasoning) == ("mistral", "deepseek_r1")
