"""Plain facts as relations: rows, the one answer sentence, training and held-out phrasings.

A phrasing in `train` may occur in the corpus; a phrasing in `held_out` is kept for the evaluation
and must never be trained on.
"""

from dataclasses import dataclass, field

from inference.pocket.countries import (
    ALIASES,
    CAPITALS,
    CONTINENTS,
    CURRENCIES,
    LANGUAGES,
)
from inference.pocket.tables import lines, parse_pairs


@dataclass(frozen=True)
class Relation:
    """A family of facts: `rows` of (subject, object), `{s}` and `{o}` in the templates.

    `follow_up` phrases ask for another subject once the relation is known from the turn before.
    `share` is the weight of the relation in the corpus relative to its number of rows.
    """

    name: str
    answer: str
    rows: list[tuple[str, str]]
    train: list[str]
    held_out: list[str]
    follow_up: list[str] = field(default_factory=list)
    share: float = 1.0
    aliases: dict[str, list[str]] = field(default_factory=dict)

    def sentence(self, subject: str, value: str) -> str:
        """The one answer of the corpus to this fact."""
        text = fill(self.answer, subject, value)
        return text[0].upper() + text[1:]


def fill(template: str, subject: str, value: str = "") -> str:
    """The template with `{s}`, `{o}`, and with `{a}` and `{b}`, the two sides of "a in b"."""
    before, _, after = subject.partition(" in ")
    return template.format(s=subject, o=value, a=before, b=after)


_FOLLOW_UP = [
    "And of {s}?",
    "And {s}?",
    "What about {s}?",
    "How about {s}?",
    "{s}?",
    "And for {s}?",
]

RELATIONS = [
    Relation(
        "capital",
        "The capital of {s} is {o}.",
        CAPITALS,
        lines("""
            What is the capital of {s}?
            What's the capital of {s}?
            What's the capitol of {s}?
            What is the capitol of {s}?
            whats the capital of {s}?
            What is {s}'s capital?
            What's {s}'s capital city?
            What is the capital city of {s}?
            Which city is the capital of {s}?
            Which city is {s}'s capital?
            Name the capital of {s}.
            Tell me the capital of {s}.
            Tell me the name of the capital city of {s}.
            Give me the capital of {s}.
            The capital of {s}?
            Capital of {s}?
            capital of {s}
            {s} capital?
            {s}: capital?
            Do you know the capital of {s}?
            Do you know what the capital of {s} is?
            Can you tell me the capital of {s}?
            Could you tell me what the capital of {s} is?
            I would like to know the capital of {s}.
            I need the name of the capital of {s}.
            What city is the capital of {s}?
            Which is the capital city of {s}?
            What is the name of the capital of {s}?
            What is the name of {s}'s capital?
            The capital of {s} is which city?
            The capital city of {s} is called what?
            For {s}, what is the capital?
            In {s}, which city is the capital?
            Which city serves as the capital of {s}?
            Which city is the seat of government of {s}?
            I forgot the capital of {s}. What is it?
            What would be the capital of {s}?
            Let me know the capital of {s}.
            State the capital of {s}.
            Please name {s}'s capital city.
            Geography: what is the capital of {s}?
            My homework asks for the capital of {s}.
            """),
        lines("""
            Which town is the capital of {s}?
            Can you name the capital of {s}?
            What do you call the capital city of {s}?
            Remind me, what is the capital of {s}?
            I am looking for the capital of {s}.
            Would you tell me {s}'s capital?
            Quiz time! What is the capital of {s}?
            What's the name of the capitol of {s}?
            """),
        _FOLLOW_UP,
        share=3.0,
        aliases=ALIASES,
    ),
    Relation(
        "capital_of",
        "{s} is the capital of {o}.",
        [(c, n) for n, c in CAPITALS if c != n and n not in ("England",)],
        lines("""
            {s} is the capital of which country?
            Which country has {s} as its capital?
            Which country has the capital {s}?
            What country is {s} the capital of?
            {s} is the capital of what country?
            Of which country is {s} the capital?
            Which country's capital is {s}?
            What country's capital city is {s}?
            Name the country whose capital is {s}.
            Tell me the country whose capital is {s}.
            Tell me which country {s} is the capital of.
            {s} is the capital city of which country?
            Do you know which country {s} is the capital of?
            """),
        lines("""
            Can you tell me which country has {s} as its capital?
            {s} is which country's capital?
            What is the country whose capital city is {s}?
            """),
        share=0.8,
    ),
    Relation(
        "continent",
        "{s} is in {o}.",
        CONTINENTS,
        lines("""
            Which continent is {s} in?
            What continent is {s} in?
            On which continent is {s}?
            On what continent is {s} located?
            In which continent is {s}?
            What continent is {s} on?
            Which continent is {s} part of?
            Which continent does {s} belong to?
            To what continent does {s} belong?
            What continent is {s} located on?
            Where in the world is {s}? On which continent?
            Tell me the continent of {s}.
            Name the continent of {s}.
            What is the continent of {s}?
            {s} is on which continent?
            {s} is in which continent?
            """),
        lines("""
            What continent does {s} belong to?
            Which continent is {s} located in?
            Do you know which continent {s} is in?
            """),
        share=0.6,
        aliases=ALIASES,
    ),
    Relation(
        "currency",
        "The currency of {s} is the {o}.",
        CURRENCIES,
        lines("""
            What is the currency of {s}?
            What's the currency of {s}?
            Which currency is used in {s}?
            What currency do they use in {s}?
            What currency does {s} use?
            Which currency does {s} have?
            Name the currency of {s}.
            Tell me the currency of {s}.
            What money is used in {s}?
            What is the money of {s} called?
            With which currency do people pay in {s}?
            {s} currency?
            """),
        lines("""
            Which currency do people use in {s}?
            Can you tell me the currency of {s}?
            What is {s}'s currency?
            """),
        share=1.0,
        aliases=ALIASES,
    ),
    Relation(
        "language",
        "The main language of {s} is {o}.",
        LANGUAGES,
        lines("""
            What language is spoken in {s}?
            Which language is spoken in {s}?
            What language do people speak in {s}?
            What language do they speak in {s}?
            What is the main language of {s}?
            What is the language of {s}?
            Which language do the people of {s} speak?
            Name the main language of {s}.
            Tell me the language of {s}.
            What is the official language of {s}?
            """),
        lines("""
            Which language do people speak in {s}?
            What is the main language spoken in {s}?
            Tell me which language is spoken in {s}.
            """),
        share=1.0,
        aliases=ALIASES,
    ),
    Relation(
        "symbol",
        "The chemical symbol of {s} is {o}.",
        parse_pairs("""hydrogen: H; helium: He; lithium: Li; carbon: C; nitrogen: N; oxygen: O;
            fluorine: F; neon: Ne; sodium: Na; magnesium: Mg; aluminium: Al; silicon: Si;
            phosphorus: P; sulfur: S; chlorine: Cl; argon: Ar; potassium: K; calcium: Ca;
            titanium: Ti; chromium: Cr; iron: Fe; cobalt: Co; nickel: Ni; copper: Cu; zinc: Zn;
            silver: Ag; tin: Sn; iodine: I; platinum: Pt; gold: Au; mercury: Hg; lead: Pb;
            uranium: U; tungsten: W; radium: Ra; bromine: Br"""),
        lines("""
            What is the chemical symbol of {s}?
            What is the chemical symbol for {s}?
            What's the chemical symbol for {s}?
            What is the symbol of {s}?
            What is the symbol for the element {s}?
            Which chemical symbol does {s} have?
            Which symbol stands for {s}?
            Tell me the chemical symbol of {s}.
            Give me the symbol of the element {s}.
            Name the chemical symbol of {s}.
            Chemical symbol of {s}?
            How is {s} written in the periodic table?
            """),
        lines("""
            Which symbol does the element {s} have?
            Do you know the chemical symbol of {s}?
            What is {s}'s chemical symbol?
            """),
        ["And of {s}?", "And {s}?", "What about {s}?", "{s}?"],
    ),
    Relation(
        "author",
        "{s} was written by {o}.",
        parse_pairs("""Hamlet: William Shakespeare; Macbeth: William Shakespeare;
            Romeo and Juliet: William Shakespeare; Othello: William Shakespeare;
            Pride and Prejudice: Jane Austen; Emma: Jane Austen; Oliver Twist: Charles Dickens;
            Great Expectations: Charles Dickens; A Christmas Carol: Charles Dickens;
            Moby-Dick: Herman Melville; War and Peace: Leo Tolstoy; Anna Karenina: Leo Tolstoy;
            Crime and Punishment: Fyodor Dostoevsky; Don Quixote: Miguel de Cervantes;
            Faust: Johann Wolfgang von Goethe; The Odyssey: Homer; The Iliad: Homer;
            The Divine Comedy: Dante Alighieri; Les Miserables: Victor Hugo;
            The Three Musketeers: Alexandre Dumas; Madame Bovary: Gustave Flaubert;
            Frankenstein: Mary Shelley; Dracula: Bram Stoker; Jane Eyre: Charlotte Bronte;
            Wuthering Heights: Emily Bronte; Treasure Island: Robert Louis Stevenson;
            Alice in Wonderland: Lewis Carroll; Tom Sawyer: Mark Twain; Ulysses: James Joyce;
            The Metamorphosis: Franz Kafka; The Trial: Franz Kafka; 1984: George Orwell;
            Animal Farm: George Orwell; The Hobbit: J. R. R. Tolkien;
            The Lord of the Rings: J. R. R. Tolkien; Harry Potter: J. K. Rowling;
            The Little Prince: Antoine de Saint-Exupery; The Old Man and the Sea: Ernest Hemingway;
            The Time Machine: H. G. Wells; Robinson Crusoe: Daniel Defoe"""),
        lines("""
            Who wrote {s}?
            Who is the author of {s}?
            Who was the author of {s}?
            Which author wrote {s}?
            Which writer wrote {s}?
            By whom was {s} written?
            {s} was written by whom?
            Tell me who wrote {s}.
            Name the author of {s}.
            Do you know who wrote {s}?
            Who is the writer of {s}?
            Author of {s}?
            """),
        lines("""
            Which person wrote {s}?
            Can you tell me who wrote {s}?
            Tell me the author of {s}.
            """),
        ["And {s}?", "What about {s}?", "And who wrote {s}?"],
    ),
    Relation(
        "young",
        "A young {s} is called a {o}.",
        parse_pairs("""cat: kitten; dog: puppy; cow: calf; horse: foal; sheep: lamb; pig: piglet;
            goat: kid; hen: chick; duck: duckling; goose: gosling; lion: cub; bear: cub;
            deer: fawn; frog: tadpole; kangaroo: joey; swan: cygnet; fox: cub; seal: pup"""),
        lines("""
            What is a young {s} called?
            What do you call a young {s}?
            What do you call a baby {s}?
            What is a baby {s} called?
            What is the name for a young {s}?
            What is the name of a baby {s}?
            How is a young {s} called?
            Tell me the name for a young {s}.
            A baby {s} is called what?
            """),
        lines("""
            What do people call a baby {s}?
            What is the word for a young {s}?
            """),
    ),
    Relation(
        "opposite",
        "The opposite of {s} is {o}.",
        parse_pairs("""hot: cold; cold: hot; big: small; small: big; up: down; down: up; fast: slow;
            slow: fast; light: dark; dark: light; good: bad; bad: good; old: young; young: old;
            open: closed; closed: open; wet: dry; dry: wet; rich: poor; poor: rich; happy: sad;
            sad: happy; hard: soft; soft: hard; high: low; low: high; left: right; right: left;
            early: late; late: early; full: empty; empty: full; day: night; night: day;
            strong: weak; weak: strong; long: short; short: long; true: false; false: true"""),
        lines("""
            What is the opposite of {s}?
            What's the opposite of {s}?
            What is the opposite of the word {s}?
            Tell me the opposite of {s}.
            Name the opposite of {s}.
            Give me the opposite of {s}.
            Which word is the opposite of {s}?
            The opposite of {s}?
            Opposite of {s}?
            """),
        lines("""
            Which word means the opposite of {s}?
            Do you know the opposite of {s}?
            """),
        _FOLLOW_UP,
        share=0.8,
    ),
    Relation(
        "hello_in",
        "Hello in {s} is {o}.",
        parse_pairs("""French: bonjour; Spanish: hola; German: hallo; Italian: ciao; Dutch: hallo;
            Portuguese: ola; Polish: czesc; Swedish: hej; Danish: hej; Norwegian: hei;
            Finnish: hei; Czech: ahoj; Turkish: merhaba; Hawaiian: aloha; Swahili: jambo;
            Japanese: konnichiwa"""),
        lines("""
            What is hello in {s}?
            How do you say hello in {s}?
            How do I say hello in {s}?
            Translate hello to {s}.
            Translate hello into {s}.
            Translate 'hello' to {s}.
            Say hello in {s}.
            What is the {s} word for hello?
            How does one say hello in {s}?
            """),
        lines("""
            How would you say hello in {s}?
            Tell me how to say hello in {s}.
            """),
        ["And in {s}?", "What about {s}?", "And {s}?"],
    ),
]
