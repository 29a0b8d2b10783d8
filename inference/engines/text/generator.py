"""Many answers at once: each step reads some of a new prompt and adds a token to every answer."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference.engines.loading import free_memory
from inference.engines.messages import is_out_of_memory
from inference.engines.program import Last
from inference.engines.text.decoding import Decoder, Text
from inference.engines.text.rows import Row, Rows
from inference.engines.text.sampling import Sampler, Sampling, logprobs_of
from inference.engines.text.structures import Structures

# Tokens of a prompt that are read in one step, so that others do not wait for a long one.
CHUNK = 1024
# What models call what they keep of the tokens before.
CACHES = ("past_key_values", "cache_params", "state")
Pieces = list[tuple[int, Any]]


@dataclass(slots=True, eq=False)
class Question:
    """A prompt, the tokens that its answer has already, and how far it has been read.

    `seen` is what the model takes of its pictures. Where a model counts a picture's tokens as fewer
    places, `shift` is the difference.
    """

    key: int
    ids: Sequence[int]
    said: Sequence[int]
    sampling: Sampling
    seen: Mapping[str, Any] | None = None
    read: int = 0
    shift: int = 0
    cache: Any = None
    prompt_logprobs: list[Any] = field(default_factory=list)


class Generator:
    """The loop round `model.forward`. Rows join and leave between any two steps."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        structures: Structures,
        ends: Sequence[int],
        device: str,
        max_rows: int,
        budget: int,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._structures = structures
        self._ends = frozenset(ends)
        self._device = device
        self._max_rows = max_rows
        cell = _bytes_per_token(model)
        self._max_cells = budget // cell if budget and cell else 0
        self._accepted = frozenset(inspect.signature(model.forward).parameters)
        self._cache_name = next((name for name in CACHES if name in self._accepted), "")
        self._waiting: deque[Question] = deque()
        self._reading: Question | None = None
        self.groups: list[Rows] = []
        self._words: dict[int, str] = {}
        # Choices that have not ended, by question.
        self._left: dict[int, int] = {}
        self._joinable = self._try_cache()

    def _try_cache(self) -> bool:
        """Whether rows can run together: the model keeps what it read in plain caches."""
        import torch

        with torch.inference_mode():
            token = torch.zeros(1, 1, dtype=torch.long, device=self._device)
            answer = self._forward({"input_ids": token}, keep=1)
        return self._cache_name == CACHES[0] and Rows.joinable(answer.past_key_values)

    # --- coming and going ------------------------------------------------------------------------

    def add(self, question: Question) -> None:
        """Let a question wait until there is room."""
        self._waiting.append(question)

    def drop(self, key: int) -> None:
        """Forget a question and its answers."""
        self._waiting = deque(each for each in self._waiting if each.key != key)
        if self._reading is not None and self._reading.key == key:
            self._reading = None
        self._left.pop(key, None)
        for group in self.groups:
            group.leave([row for row in group.rows if row.key == key])
        self._tidy()

    def step(self) -> Pieces:
        """Read some of one prompt, then add a token to each answer."""
        import torch

        with torch.inference_mode():
            pieces = self._read_on()
            for group in [*self.groups]:
                pieces += self._advance(group)
        self._tidy()
        return pieces

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.groups or self._waiting or self._reading)

    def _tidy(self) -> None:
        self.groups = [group for group in self.groups if group.rows]

    def _has_room(self, question: Question) -> bool:
        count = sum(len(group.rows) for group in self.groups)
        if not count:
            return True
        rows = count + question.sampling.n
        longest = max(
            len(question.ids) + len(question.said), *(group.total for group in self.groups)
        )
        fits = not self._max_cells or rows * longest <= self._max_cells
        return rows <= self._max_rows and fits

    # --- prompts ---------------------------------------------------------------------------------

    def _read_on(self) -> Pieces:
        if self._reading is None and self._waiting and self._has_room(self._waiting[0]):
            self._reading = self._waiting.popleft()
        question = self._reading
        if question is None:
            return []
        try:
            logits = self._read(question)
            if logits is None:
                return []
            self._reading = None
            return self._first(question, logits)
        except Exception as error:  # this question's own; those that run are not touched
            failed = _light(error)
        question.cache = None
        self.drop(question.key)
        if is_out_of_memory(failed):
            free_memory()
        return [(question.key, failed)]

    def _read(self, question: Question) -> Any:
        """The logits after the whole prompt, (1, vocabulary); None when there is more to read."""
        import torch

        ids = [*question.ids, *question.said]
        # Other caches than plain ones take a prompt at once or not at all, and so do pictures.
        in_pieces = self._joinable and not question.seen
        end = min(len(ids), question.read + CHUNK) if in_pieces else len(ids)
        every = question.sampling.prompt_logprobs is not None and not question.said
        inputs = {
            "input_ids": torch.tensor([ids[question.read : end]], device=self._device),
            "attention_mask": torch.ones(1, end, dtype=torch.long, device=self._device),
        }
        if question.seen:
            # Where its parts stand is the model's own affair.
            inputs |= question.seen
        else:
            inputs["position_ids"] = torch.arange(question.read, end, device=self._device)[None]
        answer = self._forward(inputs, keep=0 if every else 1, cache=question.cache)
        if question.seen and (shift := getattr(answer, "rope_deltas", None)) is not None:
            question.shift = int(shift)
        if every:
            self._note_prompt(question, ids, answer.logits[0], end)
        question.cache, question.read = getattr(answer, self._cache_name, None), end
        return answer.logits[:, -1].float() if end == len(ids) else None

    def _note_prompt(self, question: Question, ids: list[int], logits: Any, end: int) -> None:
        wanted = question.sampling.prompt_logprobs or 0
        following = ids[question.read + 1 : end + 1]
        rows = logits.float().log_softmax(-1)
        question.prompt_logprobs += [
            logprobs_of(row, chosen, wanted, self._word)
            for row, chosen in zip(rows, following, strict=False)
        ]

    def _first(self, question: Question, logits: Any) -> Pieces:
        """The rows of a question that has been read, and the first token of each."""
        rows = [self._row(question, index, logits) for index in range(question.sampling.n)]
        self._left[question.key] = len(rows)
        group = Rows(question.cache, rows[:1], rows[0].length)
        if self._joinable or len(rows) == 1:
            group.repeat(rows)
            groups = [group]
        else:
            groups = [group, *(self._alone(question, row) for row in rows[1:])]
        pieces = [self._drawn(each, logits.expand(len(each.rows), -1)) for each in groups]
        found = [piece for some in pieces for piece in some]
        if question.prompt_logprobs and found:
            found[0] = (found[0][0], _with_prompt(found[0][1], question.prompt_logprobs))
        for each in groups:
            self._take(each)
        return found

    def _alone(self, question: Question, row: Row) -> Rows:
        """Another answer to a prompt, with a cache that cannot be copied: read again."""
        question.cache, question.read = None, 0
        while self._read(question) is None:
            continue
        return Rows(question.cache, [row], row.length)

    def _take(self, group: Rows) -> None:
        if not group.rows:
            return
        if self._joinable and self.groups:
            self.groups[0].join(group)
        else:
            self.groups.append(group)

    def _row(self, question: Question, index: int, logits: Any) -> Row:
        sampling = question.sampling
        matcher = self._structures.matcher(sampling.constraint) if sampling.constraint else None
        sampler = Sampler(
            sampling, index, question.ids, sorted(self._ends), matcher, str(logits.device)
        )
        decoder = Decoder(self._tokenizer, question.ids, sampling.special)
        text = Text(decoder, sampling.stop, sampling.min_tokens)
        for token_id in question.said:
            text.add(token_id)
        text.new(finished=False)
        length = len(question.ids) + len(question.said)
        return Row(
            question.key,
            index,
            question.ids,
            sampling,
            sampler,
            text,
            list(question.said),
            length,
            question.shift,
        )

    # --- answers ---------------------------------------------------------------------------------

    def _advance(self, group: Rows) -> Pieces:
        """The next token of each row."""
        try:
            answer = self._forward(group.inputs(self._device), keep=1, cache=group.cache)
        except Exception as error:  # whatever a model raises
            failed = _light(error)
        else:
            group.moved(getattr(answer, self._cache_name, None))
            return self._drawn(group, answer.logits[:, -1].float())
        return self._broken(group, failed)

    def _broken(self, group: Rows, error: Exception) -> Pieces:
        """Out of memory, the newest question ends and the others go on; else all of them end."""
        gone = {row.key for row in group.rows}
        if is_out_of_memory(error) and group.restore():
            gone = {group.rows[-1].key}
        for key in gone:
            self.drop(key)
        free_memory()
        return [(key, error) for key in gone]

    def _forward(self, inputs: dict[str, Any], keep: int, cache: Any = None) -> Any:
        given = {name: value for name, value in inputs.items() if name in self._accepted}
        if self._cache_name != CACHES[0]:
            # A recurrent model: nothing is padded, and its masks are of another kind.
            given.pop("attention_mask", None)
        if cache is not None:
            given[self._cache_name] = cache
        if "logits_to_keep" in self._accepted:
            given["logits_to_keep"] = keep
        return self._model(**given, use_cache=True, return_dict=True)

    def _drawn(self, group: Rows, logits: Any) -> Pieces:
        """Draw a token for each row from (rows, vocabulary); rows that end leave."""
        import torch

        rows = group.rows
        plain = [row.sampling.plain and row.sampling.greedy for row in rows]
        if all(plain):
            chosen = logits.argmax(-1)
        else:
            drawn = [row.sampler.draw(logits[i], row.said) for i, row in enumerate(rows)]
            chosen = torch.stack(drawn)
        wanted = any(row.sampling.logprobs is not None for row in rows)
        likely = logits.log_softmax(-1) if wanted else None
        found: dict[int, list[Any]] = {}
        ended: list[Row] = []
        for i, (row, token_id) in enumerate(zip(rows, chosen.tolist(), strict=True)):
            update = self._update(row, token_id, None if likely is None else likely[i])
            found.setdefault(row.key, []).append(update)
            if update[-1]:
                ended.append(row)
        group.leave(ended)
        return [(key, self._piece(key, updates)) for key, updates in found.items()]

    def _piece(self, key: int, updates: list[Any]) -> Any:
        """What is new of a question's choices, and place for what its prompt had."""
        self._left[key] -= sum(1 for update in updates if update[-1])
        if self._left[key]:
            return [updates, None]
        del self._left[key]
        return Last([updates, None])

    def _update(self, row: Row, token_id: int, likely: Any) -> list[Any]:
        """Index, new text, token, its logprobs, and why the choice ended ("" while it has not)."""
        row.said.append(token_id)
        row.next_id = token_id
        sampling = row.sampling
        complete = row.sampler.accept(token_id)
        end = complete or (token_id in self._ends and not sampling.ignore_eos)
        stopped = not end and row.text.add(token_id)
        reason = "stop" if end or stopped else ""
        if not reason and len(row.said) >= sampling.max_tokens:
            reason = "length"
        logprobs = None
        if sampling.logprobs is not None and not end:
            # The token that ended the answer is no part of its text.
            logprobs = logprobs_of(likely, token_id, sampling.logprobs, self._word)
        return [row.index, row.text.new(bool(reason)), token_id, logprobs, reason]

    def _word(self, token_id: int) -> str:
        if token_id not in self._words:
            self._words[token_id] = self._tokenizer.decode([token_id])
        return self._words[token_id]


def _light(error: Exception) -> Exception:
    """Without what it holds of the step that ran out of memory."""
    return error.with_traceback(None) if is_out_of_memory(error) else error


def _with_prompt(piece: Any, prompt_logprobs: list[Any]) -> Any:
    if isinstance(piece, Last):
        return Last([piece.value[0], prompt_logprobs])
    return [piece[0], prompt_logprobs]


def _bytes_per_token(model: Any) -> int:
    """What one token of one row takes in the cache, at most; 0 where that does not grow."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    shared = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "hidden_size", 0)
    if not isinstance(heads, int) or not isinstance(shared, int):
        # Recurrent, or each layer with another number.
        return int(2 * config.num_hidden_layers * width * model.dtype.itemsize) if heads else 0
    size = getattr(config, "head_dim", None) or width // heads
    return int(2 * config.num_hidden_layers * shared * size * model.dtype.itemsize)
