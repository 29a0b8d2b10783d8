"""Conversations with tools: calling the one that fits, and answering from its result.

Most tools are put together from words at random, because what has to be learned is to copy a name
and values that were never seen before.
"""

import json
from random import Random
from typing import Any

from inference.pocket.chat import Message, dumps
from inference.pocket.countries import CAPITALS
from inference.pocket.tool_families import FAMILIES, HELD_OUT_FAMILIES, Family
from inference.pocket.tool_words import CITIES, FIRST_NAMES, NOUNS, SYLLABLES, THINGS, VERBS

Schema = dict[str, Any]


def pseudo_word(rng: Random) -> str:
    """A pronounceable word that is in no dictionary."""
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))


def value_of(kind: str, rng: Random) -> str | int | float:
    """A random value of a kind: city, person, words, word, number, amount, date, code, ..."""
    if kind == "city":
        roll = rng.random()
        if roll < 0.4:
            return rng.choice(CAPITALS)[1]
        return rng.choice(CITIES) if roll < 0.6 else pseudo_word(rng).capitalize()
    if kind == "person":
        first = rng.choice(FIRST_NAMES)
        return first if rng.random() < 0.5 else f"{first} {pseudo_word(rng).capitalize()}"
    if kind == "words":
        words = [
            rng.choice(THINGS) if rng.random() < 0.7 else pseudo_word(rng)
            for _ in range(rng.randint(1, 3))
        ]
        return " ".join(words)
    if kind == "number":
        return rng.randint(1, rng.choice([9, 99, 999]))
    if kind == "amount":
        return rng.randint(1, 999) if rng.random() < 0.7 else round(rng.uniform(1, 99), 1)
    if kind == "date":
        return f"20{rng.randint(20, 39)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    if kind == "time":
        return f"{rng.randint(0, 23):02}:{rng.choice(['00', '15', '30', '45'])}"
    if kind == "code":
        letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
        dash = rng.choice(["", "-", "_"])
        return f"{letters}{dash}{rng.randint(1, 99999)}"
    if kind == "email":
        ending = rng.choice(["com", "org", "de"])
        return f"{rng.choice(FIRST_NAMES).lower()}@{pseudo_word(rng)}.{ending}"
    if kind == "currency":
        return rng.choice(["USD", "EUR", "GBP", "JPY", "CHF", "SEK", "CAD", "AUD", "INR"])
    if kind == "language":
        return rng.choice(["French", "Spanish", "German", "Italian", "Dutch", "Polish", "Greek"])
    if kind == "unit":
        return rng.choice(["celsius", "fahrenheit"])
    if kind == "expression":
        sign = rng.choice("+-*/")
        return f"{rng.randint(1, 999)} {sign} {rng.randint(1, 99)}"
    return rng.choice(THINGS) if rng.random() < 0.4 else pseudo_word(rng)


def _styled(words: list[str], rng: Random) -> str:
    style = rng.random()
    if style < 0.65:
        return "_".join(words)
    if style < 0.85:
        return words[0] + "".join(word.capitalize() for word in words[1:])
    return "".join(word.capitalize() for word in words)


def held_out_pair(verb: str, noun: str) -> bool:
    """Whether tools named after this verb and noun are kept for the evaluation."""
    return (VERBS.index(verb) * 7 + NOUNS.index(noun)) % 11 == 0


def _property(kind: str, description: str, rng: Random) -> Schema:
    kinds = {"number": "integer", "amount": "number"}
    schema: Schema = {"type": kinds.get(kind, "string")}
    if kind == "unit":
        schema["enum"] = ["celsius", "fahrenheit"]
    if description and rng.random() < 0.4:
        schema["description"] = description
    return schema


def _tool(
    name: str, about: str, params: list[tuple[str, str, str]], required: list[str], rng: Random
) -> Schema:
    properties = {key: _property(kind, text, rng) for key, kind, text in params}
    if rng.random() < 0.1:
        properties = {k: {"title": k.capitalize(), **v} for k, v in properties.items()}
    items: list[tuple[str, Any]] = [("type", "object"), ("properties", properties)]
    if rng.random() < 0.9:
        items.append(("required", required))
    if rng.random() < 0.3:
        items = sorted(items)
    if rng.random() < 0.15:
        items.append(("additionalProperties", False))
    function: Schema = {"name": name, "parameters": dict(items)}
    if rng.random() < 0.92:
        function["description"] = about
    return {"type": "function", "function": function}


def _from_family(family: Family, rng: Random) -> tuple[Schema, str, dict[str, Any]]:
    words = rng.choice(family.names).split("_")
    if rng.random() < 0.15:
        words = [*words, rng.choice(["tool", "v2", "api", pseudo_word(rng)])]
    request = rng.choice(family.requests)
    values = {key: value_of(kind, rng) for key, kind, _ in family.params}
    used = {key: value for key, value in values.items() if "{" + key + "}" in request}
    required = [key for key, _, _ in family.params if key not in family.optional]
    tool = _tool(_styled(words, rng), rng.choice(family.about), family.params, required, rng)
    return tool, request.format(**values), used


_PARAMS = [
    ("id", "code"),
    ("id", "number"),
    ("name", "person"),
    ("city", "city"),
    ("date", "date"),
    ("amount", "amount"),
    ("query", "words"),
    ("code", "code"),
    ("title", "words"),
    ("user", "person"),
    ("email", "email"),
    ("count", "number"),
    ("label", "word"),
    ("time", "time"),
    ("key", "word"),
    ("place", "city"),
    ("number", "number"),
    ("text", "words"),
    ("language", "language"),
    ("tag", "word"),
]


def _synthetic(rng: Random, held_out: bool) -> tuple[Schema, str, dict[str, Any]]:
    while True:
        verb, noun = rng.choice(VERBS), rng.choice(NOUNS)
        if held_out_pair(verb, noun) == held_out:
            break
    count = rng.choice([1, 1, 1, 2, 2, 3])
    chosen: dict[str, str] = {}
    while len(chosen) < count:
        key, kind = rng.choice(_PARAMS)
        if rng.random() < 0.2:
            key = f"{noun}_{key}"
        elif rng.random() < 0.1:
            key = pseudo_word(rng)
        chosen[key] = kind
    params = [(key, kind, f"The {key.replace('_', ' ')}") for key, kind in chosen.items()]
    values = {key: value_of(kind, rng) for key, kind in chosen.items()}
    spoken = [f"{key.replace('_', ' ')} {value}" for key, value in values.items()]
    listed = spoken[0] if count == 1 else ", ".join(spoken[:-1]) + " and " + spoken[-1]
    if count == 1 and rng.random() < 0.5:
        tail = rng.choice(["{v}", "for {v}", "called {v}", "of {v}", "{v}, please"])
        tail = tail.format(v=next(iter(values.values())))
    else:
        tail = rng.choice(["with {v}", "for {v}", "with the {v}", "using {v}"]).format(v=listed)
    head = rng.choice(
        [
            "{v} the {n}",
            "Please {v} the {n}",
            "Can you {v} the {n}",
            "{v} a {n}",
            "I want to {v} the {n}",
            "Could you {v} the {n}",
            "Now {v} the {n}",
            "I need you to {v} a {n}",
        ]
    )
    request = head.format(v=verb, n=noun) + " " + tail
    request = request[0].upper() + request[1:] + rng.choice(["", ".", "?", "."])
    about = rng.choice(
        [
            "{V} the {n}",
            "{V} a {n}",
            "{V} one {n} of the system.",
            "Can {v} a {n}.",
            "Use this to {v} a {n}.",
        ]
    )
    about = about.format(v=verb, V=verb.capitalize(), n=noun)
    words = [verb, noun] if rng.random() < 0.8 else [noun, verb]
    if rng.random() < 0.1:
        words.insert(rng.randint(0, 2), pseudo_word(rng))
    required = list(chosen) if rng.random() < 0.8 else list(chosen)[:1]
    return _tool(_styled(words, rng), about, params, required, rng), request, values


def offered_tool(rng: Random, held_out: bool = False) -> tuple[Schema, str, dict[str, Any]]:
    """A tool, a request that it fits, and the arguments of the right call."""
    families = HELD_OUT_FAMILIES if held_out else FAMILIES
    if rng.random() < 0.5:
        return _from_family(rng.choice(families), rng)
    return _synthetic(rng, held_out)


def with_distractors(tool: Schema, rng: Random, held_out: bool = False) -> list[Schema]:
    """The tool among none to three others of other names, in random order."""
    tools = [tool]
    names = {tool["function"]["name"].lower().replace("_", "")}
    for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 2, 3])):
        other = offered_tool(rng, held_out)[0]
        name = other["function"]["name"].lower().replace("_", "")
        if not any(name[:5] == known[:5] or name[-4:] == known[-4:] for known in names):
            names.add(name)
            tools.append(other)
    rng.shuffle(tools)
    return tools


def result_and_answer(rng: Random) -> tuple[str, str]:
    """The content of a tool's message and the sentence that answers from it."""

    def scalar() -> str | int | float:
        kind = rng.choice(["number", "amount", "words", "city", "person", "code", "date", "word"])
        return value_of(kind, rng)

    roll = rng.random()
    if roll < 0.4:
        keys = rng.sample(
            [
                "temperature",
                "condition",
                "status",
                "price",
                "name",
                "total",
                "result",
                "value",
                "city",
                "date",
                "humidity",
                "id",
                "title",
                "unit",
                "wind",
                "rate",
                "count",
                "message",
                pseudo_word(rng),
            ],
            rng.choice([1, 1, 2, 2, 3, 4]),
        )
        data = {key: scalar() for key in keys}
        separators = (",", ":") if rng.random() < 0.3 else None
        content = json.dumps(data, ensure_ascii=False, separators=separators)
        if len(data) == 1:
            return content, f"Here is the result: {next(iter(data.values()))}."
        listed = ", ".join(f"{key} {value}" for key, value in data.items())
        return content, f"Here is the result: {listed}."
    if roll < 0.65:
        value = scalar()
        content = dumps(value) if rng.random() < 0.3 else str(value)
        return content, f"Here is the result: {value}."
    if roll < 0.85:
        weather = rng.choice(["sunny", "cloudy", "rainy", "windy", "foggy", "clear", "snow"])
        text = rng.choice(["{n} degrees and {w}", "{w}, {n} degrees", "{w} {n}C", "{n}°C, {w}"])
        text = text.format(n=rng.randint(-9, 39), w=weather)
        return text, f"Here is the result: {text}."
    sentence = rng.choice(
        [
            "It is {w} in {c}.",
            "The {k} of {c} is {v}.",
            "It's always {w} in {c}!",
            "{p} will come on {d}.",
            "The {k} was sent to {p}.",
            "The weather in {c} is {w}.",
        ]
    )
    sentence = sentence.format(
        w=rng.choice(["sunny", "cloudy", "rainy", "windy", "foggy", "cold", "warm"]),
        c=value_of("city", rng),
        k=rng.choice(NOUNS),
        v=scalar(),
        p=value_of("person", rng),
        d=value_of("date", rng),
    )
    return sentence, sentence


def tool_call(tool: Schema, arguments: dict[str, Any]) -> Message:
    """The assistant's turn that calls the tool."""
    function = {"name": tool["function"]["name"], "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"type": "function", "function": function}],
    }
