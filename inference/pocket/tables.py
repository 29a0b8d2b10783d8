"""Readers of the small notations in which the tables of the corpus are written."""


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


def lines(text: str) -> list[str]:
    """The lines of a text without the space around them."""
    return [line.strip() for line in text.strip().splitlines()]


def phrasings(text: str) -> list[str]:
    """The phrasings of "one | another | a third"."""
    return [phrasing.strip() for phrasing in " ".join(text.split()).split(" | ")]


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Pairs (subject, object) of a "subject: object; subject: object" table."""
    pairs = []
    for entry in " ".join(text.split()).split("; "):
        subject, _, value = entry.partition(": ")
        pairs.append((subject, value))
    return pairs
