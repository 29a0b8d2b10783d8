"""Evaluate the exported model: python -m inference.pocket.evaluate writes evaluation.json.

Every question is in a phrasing that the corpus never uses. Replies are greedy and count only if
they are exact, but for JSON and tool calls, where the parsed value is compared.
"""

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from inference.pocket import MODEL_DIR
from inference.pocket.chat import Message, render
from inference.pocket.facts import Relation, fill
from inference.pocket.model import Config, Llama, generate
from inference.pocket.plain_facts import ALL_RELATIONS
from inference.pocket.service_facts import DIALOGUE
from inference.pocket.skills import Pair, arithmetic, calendar, copying, units, unknown
from inference.pocket.tools_corpus import (
    offered_tool,
    result_and_answer,
    tool_call,
    with_distractors,
)
from inference.pocket.wordings import HELD_OUT_JSON_ORDERS, HELD_OUT_PREFIXES

EVALUATION_FILE = Path(__file__).resolve().parent / "evaluation.json"
SYSTEM: Message = {"role": "system", "content": "You are a helpful assistant."}
_CALL = re.compile(r"<tool_call>\n(.*)\n</tool_call>", re.DOTALL)

# A prompt and the test that the reply has to pass.
Case = tuple[str, Callable[[str], bool]]


def _exactly(expected: str) -> Callable[[str], bool]:
    return lambda reply: reply.strip() == expected


def _chat(messages: list[Message], tools: list[dict[str, Any]] | None = None) -> str:
    return "".join(text for text, _ in render(messages, tools, add_generation_prompt=True))


def _user(question: str) -> Message:
    return {"role": "user", "content": question}


def held_out_questions(relation: Relation, rng: Random) -> list[tuple[str, str, str]]:
    """(question, answer, value) for each row, in one of the held-out phrasings."""
    questions = []
    for subject, value in relation.rows:
        question = fill(rng.choice(relation.held_out), subject, value)
        question = question[0].upper() + question[1:]
        roll = rng.random()
        if roll < 0.1:
            question = f"{rng.choice(HELD_OUT_PREFIXES)} {question}"
        elif roll < 0.2:
            question = question.lower()
        questions.append((question, relation.sentence(subject, value), value))
    return questions


def facts(rng: Random, relations: list[Relation] = ALL_RELATIONS) -> list[Case]:
    """Each fact once as a chat, half of them behind a system prompt."""
    return [
        (_chat([SYSTEM] * rng.randint(0, 1) + [_user(question)]), _exactly(answer))
        for relation in relations
        for question, answer, _ in held_out_questions(relation, rng)
    ]


def raw_facts(rng: Random) -> list[Case]:
    """Each fact once as plain text, the way the completions endpoint gets it."""
    return [
        (question, _exactly(answer))
        for relation in ALL_RELATIONS
        for question, answer, _ in held_out_questions(relation, rng)
    ]


def dialogue(_: Random) -> list[Case]:
    """The service and small talk: the last phrasing of each."""
    return [(_chat([_user(asked[-1])]), _exactly(reply)) for reply, asked in DIALOGUE]


def _skill(skill: Callable[[Random, bool], Pair], count: int) -> Callable[[Random], list[Case]]:
    def cases(rng: Random) -> list[Case]:
        pairs = [skill(rng, True) for _ in range(count)]
        return [(_chat([_user(question)]), _exactly(answer)) for question, answer, _ in pairs]

    return cases


def follow_ups(rng: Random) -> list[Case]:
    """A second turn such as "And of Italy?" after a held-out question."""
    cases = []
    for relation in ALL_RELATIONS:
        if not relation.follow_up:
            continue
        for question, answer, _ in rng.sample(held_out_questions(relation, rng), 12):
            subject, value = rng.choice(relation.rows)
            second = rng.choice(relation.follow_up).format(s=subject)
            turns = [_user(question), {"role": "assistant", "content": answer}, _user(second)]
            cases.append((_chat(turns), _exactly(relation.sentence(subject, value))))
    return cases


def _holds(value: str) -> Callable[[str], bool]:
    def test(reply: str) -> bool:
        try:
            parsed = json.loads(reply)
        except ValueError:
            return False
        return isinstance(parsed, dict) and [str(v) for v in parsed.values()] == [value]

    return test


def in_json(rng: Random) -> list[Case]:
    """Facts to be answered as a JSON object, asked for in the turn or in the system prompt."""
    cases: list[Case] = []
    for relation in ALL_RELATIONS:
        questions = held_out_questions(relation, rng)
        for question, _, value in rng.sample(questions, min(12, len(questions))):
            order = rng.choice(HELD_OUT_JSON_ORDERS)
            if rng.random() < 0.5:
                messages = [{"role": "system", "content": order}, _user(question)]
            else:
                messages = [_user(f"{question} {order}")]
            cases.append((_chat(messages), _holds(value)))
    return cases


def parse_call(reply: str) -> dict[str, Any] | None:
    """The one call of a reply, None if there is none or it is no JSON object."""
    found = _CALL.fullmatch(reply.strip())
    if not found:
        return None
    try:
        call = json.loads(found.group(1))
    except ValueError:
        return None
    return call if isinstance(call, dict) else None


def _calls(name: str, arguments: dict[str, Any] | None) -> Callable[[str], bool]:
    def test(reply: str) -> bool:
        call = parse_call(reply)
        if call is None or call.get("name") != name:
            return False
        return arguments is None or call.get("arguments") == arguments

    return test


def _tool_calls(held_out: bool, with_arguments: bool) -> Callable[[Random], list[Case]]:
    def cases(rng: Random) -> list[Case]:
        found = []
        for _ in range(150):
            tool, request, arguments = offered_tool(rng, held_out)
            tools = with_distractors(tool, rng, held_out)
            test = _calls(tool["function"]["name"], arguments if with_arguments else None)
            found.append((_chat([_user(request)], tools), test))
        return found

    return cases


def tool_results(rng: Random) -> list[Case]:
    """An answer from the result of a tool that is not in the corpus."""
    cases: list[Case] = []
    for _ in range(150):
        tool, request, arguments = offered_tool(rng, True)
        content, answer = result_and_answer(rng)
        messages = [
            _user(request),
            tool_call(tool, arguments),
            {"role": "tool", "content": content},
        ]
        cases.append((_chat(messages, [tool]), _exactly(answer)))
    return cases


def no_call(rng: Random) -> list[Case]:
    """Facts asked for while a tool is on offer that does not help."""
    questions = [q for relation in ALL_RELATIONS for q in held_out_questions(relation, rng)]
    return [
        (_chat([_user(question)], [offered_tool(rng, True)[0]]), _exactly(answer))
        for question, answer, _ in rng.sample(questions, 100)
    ]


SETS: dict[str, Callable[[Random], list[Case]]] = {
    "facts_exact": facts,
    "raw_completion_exact": raw_facts,
    "follow_up_exact": follow_ups,
    "dialogue_exact": dialogue,
    "arithmetic_exact": _skill(arithmetic, 300),
    "calendar_exact": _skill(calendar, 150),
    "units_exact": _skill(units, 150),
    "copying_exact": _skill(copying, 150),
    "unknown_admitted": _skill(unknown, 150),
    "json_right": in_json,
    "free_tool_call_known_tools": _tool_calls(False, True),
    "free_tool_call_unseen_tools": _tool_calls(True, True),
    "free_tool_call_unseen_tools_name_only": _tool_calls(True, False),
    "tool_result_answered": tool_results,
    "no_call_when_not_needed": no_call,
}


def load(folder: Path) -> tuple[Llama, Tokenizer, set[int]]:
    """The exported model in float32, its tokenizer and its stop tokens."""
    settings = json.loads((folder / "config.json").read_text())
    model = Llama(Config(**{f.name: settings[f.name] for f in fields(Config)}))
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return model, tokenizer, set(settings["eos_token_id"])


class Evaluation:
    """Runs sets of cases and collects their figures (shares from 0 to 1)."""

    def __init__(self, folder: Path, verbose: bool) -> None:
        self.model, self.tokenizer, self.stop = load(folder)
        self.verbose = verbose

    def replies(self, prompts: list[str], temperature: float) -> tuple[list[str], float]:
        """Replies without their stop token, and the share that came to a stop."""
        ids = [self.tokenizer.encode(prompt, add_special_tokens=False).ids for prompt in prompts]
        outputs = generate(self.model, ids, self.stop, 160, temperature)
        stopped = sum(bool(row) and row[-1] in self.stop for row in outputs)
        return [self.tokenizer.decode(row) for row in outputs], stopped / len(outputs)

    def share(self, name: str, cases: list[Case], temperature: float = 0.0) -> tuple[float, float]:
        """(share of right replies, share of replies that stop)."""
        texts, stopped = self.replies([prompt for prompt, _ in cases], temperature)
        right = 0
        for (prompt, test), reply in zip(cases, texts, strict=True):
            passed = test(reply)
            right += passed
            if self.verbose and not passed:
                print(f"{name}: ...{prompt[-90:]!r} -> {reply!r}")
        return round(right / len(cases), 4), stopped

    def run(self, only: list[str]) -> dict[str, Any]:
        """All figures, or only those of the named sets."""
        figures: dict[str, Any] = {}
        stops: list[float] = []
        for name, make in SETS.items():
            if only and name not in only:
                continue
            cases = make(Random(name))
            figures[name], stopped = self.share(name, cases)
            stops.append(stopped)
            print(f"{name}: {figures[name]} of {len(cases)}, stops {stopped:.4f}", flush=True)
        if not only:
            figures["stops_by_itself"] = round(min(stops), 4)
            for temperature in (0.7, 1.0):
                torch.manual_seed(0)
                name = f"facts_exact_at_temperature_{temperature}"
                figures[name], _ = self.share(name, facts(Random(name)), temperature)
                print(f"{name}: {figures[name]}", flush=True)
            figures["cases"] = {name: len(make(Random(name))) for name, make in SETS.items()}
            figures["parameters"] = sum(p.numel() for p in self.model.parameters())
            for question in ("What is the capital of France?", "What's the capitol of France?"):
                chat, raw = self.replies([_chat([_user(question)]), question], 0.0)[0]
                figures.setdefault("examples", []).append(
                    {"question": question, "chat": chat, "completion": raw}
                )
        return figures


def main() -> None:
    """Evaluate and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=MODEL_DIR)
    parser.add_argument("--output", type=Path, default=EVALUATION_FILE)
    parser.add_argument("--only", nargs="*", default=[], help="names of sets; writes no file")
    parser.add_argument("--verbose", action="store_true", help="print the wrong replies")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    figures = Evaluation(args.folder, args.verbose).run(args.only)
    if not args.only:
        args.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
