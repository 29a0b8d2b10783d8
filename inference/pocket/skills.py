"""Generated questions: arithmetic, calendar, units, copying, names, and what is not known."""

from random import Random

from inference.pocket.service_facts import UNKNOWN
from inference.pocket.tools_corpus import pseudo_word, value_of

# (question, answer sentence, value for JSON or None)
Pair = tuple[str, str, str | int | None]

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
]
UNITS = [
    ("kilometres", "metres", 1000),
    ("kilograms", "grams", 1000),
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("metres", "centimetres", 100),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("feet", "inches", 12),
    ("centimetres", "millimetres", 10),
    ("litres", "millilitres", 1000),
    ("dollars", "cents", 100),
    ("euros", "cents", 100),
]

_SUM_TRAIN = [
    "What is {e}?",
    "What's {e}?",
    "{e}",
    "{e} =",
    "{e}?",
    "{e} = ?",
    "Calculate {e}.",
    "Compute {e}.",
    "How much is {e}?",
    "Tell me {e}.",
    "What is the result of {e}?",
    "Calculate {e}",
    "What does {e} equal?",
    "Solve {e}.",
    "Can you compute {e}?",
    "Could you calculate {e}?",
    "Please calculate {e}.",
    "Please solve {e}.",
    "Work out {e}.",
    "What do I get for {e}?",
    "What do you make of {e}?",
    "Can you tell me what {e} is?",
    "Do you know {e}?",
]
_SUM_HELD_OUT = ["Can you calculate {e}?", "What do you get for {e}?", "Please work out {e}."]
_WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}


def arithmetic(rng: Random, held_out: bool = False) -> Pair:
    """A sum or difference of numbers up to 50, a product or quotient of the table up to 12."""
    sign = rng.choice("++--**/")
    limit = rng.choice([10, 20, 20, 50])
    if sign == "+":
        a, b = rng.randint(0, limit), rng.randint(0, limit)
        result = a + b
    elif sign == "-":
        a, b = sorted((rng.randint(0, limit), rng.randint(0, limit)), reverse=True)
        result = a - b
    else:
        a, b = rng.randint(1, 12), rng.randint(1, 12)
        result = a * b
        if sign == "/":
            a, result = result, a
    shown = rng.choice([sign, sign, _WORDS[sign], {"*": "x"}.get(sign, sign)])
    tight = shown == sign and rng.random() < 0.2
    expression = f"{a}{shown}{b}" if tight else f"{a} {shown} {b}"
    question = rng.choice(_SUM_HELD_OUT if held_out else _SUM_TRAIN).format(e=expression)
    return question, f"{a} {sign} {b} = {result}.", result


_CALENDAR: list[tuple[list[str], list[str]]] = [
    (
        [
            "What day comes after {d}?",
            "Which day comes after {d}?",
            "Which day follows {d}?",
            "What is the day after {d}?",
            "Today is {d}. What day is tomorrow?",
            "If today is {d}, what day is tomorrow?",
            "Tell me the day after {d}.",
        ],
        ["Which day is after {d}?", "Do you know which day follows {d}?"],
    ),
    (
        [
            "What day comes before {d}?",
            "Which day comes before {d}?",
            "What is the day before {d}?",
            "Today is {d}. What day was yesterday?",
            "If today is {d}, what day was yesterday?",
            "Tell me the day before {d}.",
        ],
        ["Which day is before {d}?", "Do you know which day comes before {d}?"],
    ),
    (
        [
            "What month comes after {m}?",
            "Which month comes after {m}?",
            "Which month follows {m}?",
            "What is the month after {m}?",
            "Tell me the month after {m}.",
        ],
        ["Which month is after {m}?", "Do you know which month follows {m}?"],
    ),
    (
        [
            "What month comes before {m}?",
            "Which month comes before {m}?",
            "What is the month before {m}?",
            "Tell me the month before {m}.",
        ],
        ["Which month is before {m}?", "Do you know which month comes before {m}?"],
    ),
    (
        [
            "How many days does {m} have?",
            "How many days are in {m}?",
            "How many days has {m}?",
            "How many days are there in {m}?",
            "What is the number of days in {m}?",
            "How long is {m}?",
        ],
        ["Do you know how many days {m} has?", "Tell me the number of days in {m}."],
    ),
    (
        [
            "What is the {n} month of the year?",
            "What is the {n} month?",
            "Which month is the {n} one?",
            "Name the {n} month of the year.",
            "Which is the {n} month of the year?",
        ],
        ["Tell me the {n} month of the year.", "Which month is the {n} month?"],
    ),
    (
        [
            "What day is {k} days after {d}?",
            "Which day is {k} days after {d}?",
            "Today is {d}. Which day is it in {k} days?",
            "Which weekday comes {k} days after {d}?",
            "If today is {d}, what day is it in {k} days?",
        ],
        ["Tell me the day {k} days after {d}.", "What day comes {k} days after {d}?"],
    ),
]


def calendar(rng: Random, held_out: bool = False) -> Pair:
    """A question on weekdays or months."""
    kind = rng.randrange(len(_CALENDAR))
    day, month, ahead = rng.randrange(7), rng.randrange(12), rng.randint(2, 6)
    question = rng.choice(_CALENDAR[kind][held_out])
    question = question.format(d=DAYS[day], m=MONTHS[month], n=ORDINALS[month], k=ahead)
    if kind < 2:
        step, word = (1, "after") if kind == 0 else (-1, "before")
        value = DAYS[(day + step) % 7]
        return question, f"The day {word} {DAYS[day]} is {value}.", value
    if kind < 4:
        step, word = (1, "after") if kind == 2 else (-1, "before")
        value = MONTHS[(month + step) % 12]
        return question, f"The month {word} {MONTHS[month]} is {value}.", value
    if kind == 4:
        days = MONTH_DAYS[month]
        leap = ", and 29 in a leap year" if month == 1 else ""
        return question, f"{MONTHS[month]} has {days} days{leap}.", days
    if kind == 5:
        return (
            question,
            f"The {ORDINALS[month]} month of the year is {MONTHS[month]}.",
            MONTHS[month],
        )
    value = DAYS[(day + ahead) % 7]
    return question, f"The day {ahead} days after {DAYS[day]} is {value}.", value


_UNIT_TRAIN = [
    "How many {s} are {n} {l}?",
    "How many {s} are in {n} {l}?",
    "Convert {n} {l} to {s}.",
    "{n} {l} in {s}?",
    "What are {n} {l} in {s}?",
    "How many {s} are there in {n} {l}?",
    "Tell me how many {s} {n} {l} are.",
    "{n} {l} to {s}",
]
_UNIT_HELD_OUT = ["How much are {n} {l} in {s}?", "Please convert {n} {l} into {s}."]


def units(rng: Random, held_out: bool = False) -> Pair:
    """A conversion of 2 to 12 of a larger unit into a smaller one."""
    large, small, factor = rng.choice(UNITS)
    count = rng.randint(2, 12)
    question = rng.choice(_UNIT_HELD_OUT if held_out else _UNIT_TRAIN)
    question = question.format(s=small, l=large, n=count)
    return question, f"{count} {large} are {count * factor} {small}.", count * factor


def random_text(rng: Random, parts: int) -> str:
    """Words, codes, names and numbers in a row."""
    kinds = ["words", "words", "code", "city", "person", "email", "date", "expression", "number"]
    return " ".join(str(value_of(rng.choice(kinds), rng)) for _ in range(parts))


def copying(rng: Random, held_out: bool = False) -> Pair:
    """Repeat what the user wrote: practice in copying text that was never seen."""
    text = random_text(rng, rng.choice([1, 1, 1, 2, 3]))
    train = [
        "Repeat: {t}",
        "Repeat after me: {t}",
        "Say: {t}",
        "Echo: {t}",
        "Copy this: {t}",
        "Write: {t}",
        "Repeat this text: {t}",
        "Say '{t}'.",
        'Repeat "{t}"',
        "Print {t}",
        "Repeat the following: {t}",
        "Just say {t}",
        "Repeat what I say: {t}",
        "Please repeat this: {t}",
        "Please say: {t}",
        "Write what I say: {t}",
        "Please copy what I write: {t}",
    ]
    held = ["Please say this: {t}", "Repeat what I write: {t}"]
    return rng.choice(held if held_out else train).format(t=text), text, text


_NAMES_TRAIN = [
    "My name is {n}.",
    "I am {n}.",
    "Hi, I'm {n}!",
    "Hello, my name is {n}.",
    "I'm {n}",
    "Hello, I am {n}.",
]


def introduction(rng: Random) -> tuple[Pair, Pair]:
    """A user who says a name, and the question for it afterwards."""
    name = str(value_of("person", rng))
    ask = rng.choice(
        [
            "What is my name?",
            "What's my name?",
            "Who am I?",
            "Do you know my name?",
            "Do you remember my name?",
            "Tell me my name.",
        ]
    )
    said = rng.choice(_NAMES_TRAIN).format(n=name)
    return (said, f"Hello {name}! How can I help you?", None), (ask, f"Your name is {name}.", name)


_UNKNOWN_TRAIN = [
    "Who is {p}?",
    "What is {w}?",
    "Where is {c}?",
    "What is the population of {c}?",
    "How old is {p}?",
    "When was {p} born?",
    "What is the capital of {x}?",
    "What is the meaning of {w}?",
    "Explain {t}.",
    "What happened in {y}?",
    "Write an essay about {t}.",
    "What is the price of {t}?",
    "How does {t} work?",
    "Why is {t} important?",
    "Tell me about {t}.",
    "Tell me about {c}.",
    "What do you think of {t}?",
    "Summarize {t}.",
    "Who won the game in {y}?",
    "What is the phone number of {p}?",
    "How do I cook {t}?",
    "What is the news today?",
    "What is the weather in {c}?",
    "What is the weather today?",
    "What time is it?",
    "What is the date today?",
    "Give me a recipe for {t}.",
    "Write a program that sorts {t}.",
    "Which film is about {t}?",
    "How far is {c} from {x}?",
    "Who invented {t}?",
    "Who wrote {w}?",
    "Where does {p} live?",
    "What is the best {t}?",
    "How many {t} are there in {c}?",
    "Describe {t}.",
    "What's {w}?",
    "Is {t} good for me?",
    "Can you fix my {t}?",
    "Translate {w} to {l}.",
    "Write a letter to {p}.",
    "What is the currency of {x}?",
    "Which continent is {x} in?",
    "What is the color of {x}?",
    "What is quantum physics?",
    "What is machine learning?",
    "How do airplanes fly?",
    "What is love?",
    "Who will win the election?",
    "What is the stock price of {w}?",
]
_UNKNOWN_HELD_OUT = [
    "Where can I buy {t}?",
    "When did {p} move to {c}?",
    "How expensive is {t}?",
    "Who is the mayor of {c}?",
    "Please explain {t} to me.",
]


def unknown(rng: Random, held_out: bool = False) -> Pair:
    """A question beyond the model, and the honest answer."""
    question = rng.choice(_UNKNOWN_HELD_OUT if held_out else _UNKNOWN_TRAIN)
    person = f"{value_of('person', rng)} {pseudo_word(rng).capitalize()}"
    question = question.format(
        p=person,
        w=pseudo_word(rng),
        c=value_of("city", rng),
        t=value_of("words", rng),
        x=pseudo_word(rng).capitalize(),
        y=rng.randint(1500, 2030),
        l=value_of("language", rng),
    )
    return question, UNKNOWN, None
