"""The corpus: documents drawn from the tables, endless and reproducible from a seed."""

from collections.abc import Callable
from random import Random
from typing import Any

from inference.pocket.chat import END_OF_TEXT, Message, Segment, dumps, render
from inference.pocket.facts import Relation, fill
from inference.pocket.plain_facts import ALL_RELATIONS
from inference.pocket.service_facts import DIALOGUE, HELD_OUT_DIALOGUE
from inference.pocket.skills import (
    Pair,
    arithmetic,
    calendar,
    copying,
    introduction,
    random_text,
    units,
    unknown,
)
from inference.pocket.tools_corpus import (
    offered_tool,
    result_and_answer,
    tool_call,
    with_distractors,
)
from inference.pocket.wordings import (
    JSON_KEYS,
    JSON_ORDERS,
    KEY_ORDERS,
    PREFIXES,
    SUFFIXES,
    SYSTEM_PROMPTS,
)


def _typo(word: str, rng: Random) -> str:
    if len(word) < 4 or not word.isalpha():
        return word
    at = rng.randrange(1, len(word) - 1)
    roll = rng.random()
    if roll < 0.35:
        return word[:at] + word[at + 1 :]
    if roll < 0.7:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if roll < 0.85:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice("aeiourstln") + word[at + 1 :]


def vary(template: str, rng: Random) -> str:
    """A phrasing with the slips and courtesies of users; slots in braces stay as they are."""
    if rng.random() < 0.1:
        words = template.split(" ")
        at = rng.randrange(len(words))
        if "{" not in words[at]:
            words[at] = _typo(words[at], rng)
        template = " ".join(words)
    if rng.random() < 0.06:
        template = template.replace("What's", "Whats").replace("'s ", "s ")
    roll = rng.random()
    if roll < 0.14:
        prefix = rng.choice(PREFIXES)
        keep = prefix.endswith((".", "!", "?")) or template.startswith("{")
        template = prefix + " " + (template if keep else template[0].lower() + template[1:])
    elif roll < 0.2:
        template += " " + rng.choice(SUFFIXES)
    if rng.random() < 0.15:
        template = template.rstrip("?.")
    return template


def _cased(question: str, rng: Random) -> str:
    roll = rng.random()
    if roll < 0.18:
        return question.lower()
    return question.upper() if roll < 0.19 else question


def _relation(rng: Random) -> Relation:
    weights = [len(relation.rows) * relation.share for relation in ALL_RELATIONS]
    return rng.choices(ALL_RELATIONS, weights)[0]


def _value(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def fact(rng: Random, relation: Relation | None = None, varied: bool = True) -> Pair:
    """A fact asked for in a training phrasing."""
    relation = relation or _relation(rng)
    subject, value = rng.choice(relation.rows)
    asked = subject
    if rng.random() < 0.3:
        asked = rng.choice([subject, *relation.aliases.get(subject, [])])
    template = rng.choice(relation.train)
    question = fill(vary(template, rng) if varied else template, asked, value)
    question = question[0].upper() + question[1:] if rng.random() < 0.9 else question
    question = _cased(question, rng) if varied else question
    return question, relation.sentence(subject, value), _value(value)


def dialogue(rng: Random) -> Pair:
    """A fixed reply: the service, small talk, lists."""
    reply, phrasings = rng.choice(DIALOGUE)
    plain = rng.choice(phrasings[:-1])
    question = _cased(vary(plain, rng), rng) if rng.random() < 0.4 else plain
    # A courtesy in front can make a held-out phrasing of a training one.
    return plain if question in HELD_OUT_DIALOGUE else question, reply, None


SKILLS: list[tuple[float, Callable[[Random], Pair]]] = [
    (52, fact),
    (22, arithmetic),
    (5, calendar),
    (3, units),
    (11, dialogue),
    (5, unknown),
    (6, copying),
]


def pair(rng: Random) -> Pair:
    """Any question with its answer."""
    return rng.choices([skill for _, skill in SKILLS], [weight for weight, _ in SKILLS])[0](rng)


def _turns(question: str, answer: str) -> list[Message]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def _system(rng: Random) -> list[Message]:
    roll = rng.random()
    if roll < 0.7:
        return []
    prompt = SYSTEM_PROMPTS[0] if roll < 0.85 else rng.choice(SYSTEM_PROMPTS)
    return [{"role": "system", "content": prompt}]


def single(rng: Random) -> list[Segment]:
    """One question, one answer."""
    question, answer, _ = pair(rng)
    return render(_system(rng) + _turns(question, answer))


def raw(rng: Random) -> list[Segment]:
    """Plain text without turns, for the completions endpoint."""
    question, answer, _ = fact(rng) if rng.random() < 0.8 else arithmetic(rng)
    roll = rng.random()
    if roll < 0.2:
        return [("", False), (answer + END_OF_TEXT, True)]
    if roll < 0.3:
        prompt = f"Q: {question}\nA:"
    elif roll < 0.4:
        prompt = f"Question: {question}\nAnswer:"
    else:
        return [(question, False), ("\n" + answer + END_OF_TEXT, True)]
    return [(prompt, False), (" " + answer + END_OF_TEXT, True)]


def echo(rng: Random) -> list[Segment]:
    """Random text twice in a row: the plainest practice in copying what stands before."""
    text = random_text(rng, rng.randint(2, 8))
    between = rng.choice(["\n", " ", "\n\n", ", ", " = ", ": ", "</tools>", "\n<tool_call>"])
    return [(text + between, False), (text + END_OF_TEXT, True)]


def drill(rng: Random) -> list[Segment]:
    """Sums or facts line by line: many answers for few tokens, the givens are not learned."""
    segments: list[Segment] = []
    sums = rng.random() < 0.5
    for _ in range(10 if sums else 6):
        _, answer, value = arithmetic(rng) if sums else fact(rng)
        before, shown, after = answer.rpartition(str(value))
        # The space belongs to the word behind it, as in running text.
        given = before.rstrip()
        segments += [(given, False), (before[len(given) :] + shown + after, True), ("\n", False)]
    return segments


def in_json(rng: Random) -> list[Segment]:
    """A question that asks for JSON, in the turn or in the system prompt."""
    value = None
    while value is None:
        question, _, value = pair(rng)
    key, order = "answer", rng.choice(JSON_ORDERS)
    if rng.random() < 0.4:
        key = rng.choice(JSON_KEYS)
        order = rng.choice(KEY_ORDERS).format(k=key)
    reply = dumps({key: value})
    roll = rng.random()
    if roll < 0.4:
        return render([{"role": "system", "content": order}, *_turns(question, reply)])
    question = f"{question} {order}" if roll < 0.85 else f"{order} {question}"
    return render(_system(rng) + _turns(question, reply))


def conversation(rng: Random, turns: int) -> list[Segment]:
    """Several questions in a row, some of them follow-ups ("And of Italy?")."""
    messages = _system(rng)
    followable = [relation for relation in ALL_RELATIONS if relation.follow_up]
    while turns > 0:
        turns -= 1
        roll = rng.random()
        if roll < 0.4:
            relation = rng.choice(followable)
            messages += _turns(*fact(rng, relation)[:2])
            for _ in range(rng.randint(1, 3)):
                subject, value = rng.choice(relation.rows)
                asked = rng.choice(relation.follow_up).format(s=subject)
                messages += _turns(_cased(asked, rng), relation.sentence(subject, value))
        elif roll < 0.5:
            said, ask = introduction(rng)
            messages += _turns(*said[:2])
            if turns and rng.random() < 0.7:
                messages += _turns(*pair(rng)[:2])
            messages += _turns(*ask[:2])
        else:
            messages += _turns(*pair(rng)[:2])
    return render(messages)


def with_tools(rng: Random) -> list[Segment]:
    """Tools on offer: a call, an answer from a result, or a question that needs none."""
    tool, request, arguments = offered_tool(rng)
    tools: list[dict[str, Any]] = with_distractors(tool, rng)
    messages = _system(rng)
    roll = rng.random()
    if roll < 0.15:
        question, answer, _ = dialogue(rng) if rng.random() < 0.4 else fact(rng)
        return render(messages + _turns(question, answer), tools)
    if roll < 0.22:
        messages += _turns(*pair(rng)[:2])
    messages += [{"role": "user", "content": request}, tool_call(tool, arguments)]
    if roll > 0.6:
        content, answer = result_and_answer(rng)
        messages += [
            {"role": "tool", "content": content, "tool_call_id": "call"},
            {"role": "assistant", "content": answer},
        ]
    return render(messages, tools)


KINDS: list[tuple[float, Callable[[Random], list[Segment]]]] = [
    (50, single),
    (7, raw),
    (7, echo),
    (10, drill),
    (6, in_json),
    (5, lambda rng: conversation(rng, rng.randint(1, 3))),
    (0.2, lambda rng: conversation(rng, rng.randint(10, 25))),
    (9, with_tools),
]


def document(rng: Random) -> list[Segment]:
    """One document: segments (text, has to be learned as written by the model)."""
    return rng.choices([kind for _, kind in KINDS], [weight for weight, _ in KINDS])[0](rng)
