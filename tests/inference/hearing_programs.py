"""Programs for text and sounds: `python -m tests.inference.hearing_programs FOLDER`.

A program of its own, as `text_programs`. Each line is JSON: the name of a case and what was found.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForMultimodalLM, AutoProcessor

from inference.engines.pipelines.media import written
from inference.engines.program import Call
from inference.engines.text.program import TextProgram
from inference.errors import InferenceError
from inference.requests import Media
from tests import tiny_model
from tests.inference.seeing_programs import GREEDY, LENGTH, begin, finished
from tests.inference.text_programs import say

RATE = 16_000
HIGH, LOW = (880.0, 1.0), (110.0, 0.5)
ASKED: Mapping[str, Sequence[tuple[float, float]]] = {
    "deaf": [],
    "high": [HIGH],
    "low": [LOW],
    "both": [HIGH, LOW],
}


def tone(pitch: float, seconds: float, rate: int = RATE) -> Any:
    """Samples of a tone that fades."""
    time = np.arange(int(seconds * rate)) / rate
    return (np.sin(2 * np.pi * pitch * time) * np.exp(-time)).astype(np.float32)


def media(pitch: float, seconds: float, form: str = "wav", rate: int = RATE) -> Media:
    """The tone as a file."""
    return Media(written(tone(pitch, seconds, rate), rate, form).data, "audio/*")


def messages(count: int) -> list[dict[str, Any]]:
    """A question about so many sounds."""
    parts = [{"type": "text", "text": "What is it?"}, *({"type": "audio"} for _ in range(count))]
    return [{"role": "user", "content": parts}]


def inputs(sounds: Sequence[Media]) -> dict[str, Any]:
    """What the engine asks of the program."""
    found: dict[str, Any] = {"tools": [], "kwargs": {}, "messages": messages(len(sounds))}
    if sounds:
        found |= {"files": sounds, "fields": [f"sound {i}" for i in range(len(sounds))]}
    return found


def expected(folder: Path, name: str) -> list[int]:
    """What transformers itself says."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForMultimodalLM.from_pretrained(folder, dtype="float32").eval()
    # As the files hold them, in 16 bits.
    sounds = [np.round(tone(*each) * 32767) / 32768 for each in ASKED[name]]
    text = processor.apply_chat_template(messages(len(sounds)), add_generation_prompt=True)
    given = processor(
        text=[text],
        audio=[each.astype(np.float32) for each in sounds] or None,
        sampling_rate=RATE,
        add_special_tokens=False,
        return_tensors="pt",
    )
    told = {"max_new_tokens": LENGTH, "min_new_tokens": LENGTH, "do_sample": False}
    whole = model.generate(**given, **told, eos_token_id=None, pad_token_id=0)
    found: list[int] = whole[0, given["input_ids"].shape[1] :].tolist()
    return found


def main(folder: Path) -> None:
    """The same tokens as transformers', alone and side by side; what is no sound is refused."""
    torch.set_num_threads(1)
    tiny_model.write_ears(folder / "ears")
    program = TextProgram(None, 8, 0, source=str(folder / "ears"), dtype="float32")
    say("facts", program.load())
    sounds = {name: [media(*each) for each in some] for name, some in ASKED.items()}
    say("lengths", [begin(program, i, inputs(sounds[name])) for i, name in enumerate(ASKED)])
    together = finished(program, range(len(ASKED)))
    for i, name in enumerate(ASKED):
        begin(program, 9, inputs(sounds[name]))
        say(name, [expected(folder / "ears", name), together[i], finished(program, [9])[9]])
    for form, rate in (("wav", 44_100), ("mp3", 16_000)):
        begin(program, 9, inputs([media(*HIGH, form, rate)]))
        say(f"{form} {rate}", finished(program, [9])[9])
    program.begin(12, Call("", {**inputs(sounds["high"]), "ids": [1], "text": "no place"}, GREEDY))
    say("no place", finished(program, [12])[12])
    try:
        begin(program, 13, inputs([*sounds["high"], Media(b"no sound", "audio/*")]))
    except InferenceError as error:
        say("no sound", [type(error).__name__, getattr(error, "param", None)])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
