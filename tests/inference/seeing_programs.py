"""Programs for text and pictures: `python -m tests.inference.seeing_programs FOLDER`.

A program of its own, as `text_programs`. Each line is JSON: the name of a case and what was found.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2VLConfig

from inference.engines.program import Call, Last
from inference.engines.text.generator import Generator, Question
from inference.engines.text.program import TextProgram
from inference.engines.text.sampling import Sampling
from inference.errors import InferenceError
from inference.requests import Media
from tests import tiny_model
from tests.inference.text_programs import Letters, answers, copied_from, say, templated

LENGTH = 8
GREEDY = {"max_tokens": LENGTH, "temperature": 0.0, "ignore_eos": True}
RED, BLUE = ("red", 60, 40), ("blue", 30, 50)
ASKED: Mapping[str, Sequence[tuple[str, int, int]]] = {
    "blind": [],
    "red": [RED],
    "blue": [BLUE],
    "both": [RED, BLUE],
}
ONLY_TEXT = "{% for message in messages %}{{ message.content }}{% endfor %}"
BLIND = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"


def drawn(colour: str, width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def media(image: Image.Image) -> Media:
    into = io.BytesIO()
    image.save(into, "png")
    return Media(into.getvalue(), "image/*")


def inputs(pictures: Sequence[Media]) -> dict[str, Any]:
    parts = [{"type": "text", "text": "What is it?"}, *({"type": "image"} for _ in pictures)]
    found: dict[str, Any] = {"tools": [], "kwargs": {}}
    found["messages"] = [{"role": "user", "content": parts}]
    if pictures:
        found |= {"files": pictures, "fields": [f"picture {i}" for i in range(len(pictures))]}
    return found


def begin(program: TextProgram, key: int, asked: Mapping[str, Any]) -> int:
    """Ask as the engine does; the number of tokens of the prompt."""
    read = program.prepare(Call("prompt", asked))
    more = {name: asked[name] for name in ("files", "fields") if name in asked}
    program.begin(key, Call("", {"ids": read["ids"], "text": read["text"], **more}, GREEDY))
    return len(read["ids"])


def finished(program: TextProgram, keys: Sequence[int]) -> dict[int, Any]:
    """The tokens of each answer."""
    found: dict[int, Any] = {key: [] for key in keys}
    going = set(keys)
    while going:
        for key, piece in program.step():
            if isinstance(piece, BaseException):
                found[key] = [type(piece).__name__, getattr(piece, "param", None)]
            else:
                updates = piece.value[0] if isinstance(piece, Last) else piece[0]
                found[key] += [update[2] for update in updates]
            if isinstance(piece, Last | BaseException):
                going.discard(key)
    return found


def expected(folder: Path, name: str) -> list[int]:
    """What transformers itself says."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    images = [drawn(*each) for each in ASKED[name]]
    parts = [{"type": "text", "text": "What is it?"}, *({"type": "image"} for _ in images)]
    text = processor.apply_chat_template(
        [{"role": "user", "content": parts}], add_generation_prompt=True
    )
    given = processor(
        text=[text], images=images or None, add_special_tokens=False, return_tensors="pt"
    )
    told = {"max_new_tokens": LENGTH, "min_new_tokens": LENGTH, "do_sample": False}
    whole = model.generate(**given, **told, eos_token_id=None, pad_token_id=0)
    found: list[int] = whole[0, given["input_ids"].shape[1] :].tolist()
    return found


def seeing(folder: Path) -> None:
    """The same tokens as transformers', alone and side by side."""
    tiny_model.write(folder / "eyes")
    program = TextProgram(None, 8, 0, source=str(folder / "eyes"), dtype="float32")
    say("facts", program.load())
    pictures = {name: [media(drawn(*each)) for each in some] for name, some in ASKED.items()}
    say("lengths", [begin(program, i, inputs(pictures[name])) for i, name in enumerate(ASKED)])
    together = finished(program, range(len(ASKED)))
    for i, name in enumerate(ASKED):
        begin(program, 9, inputs(pictures[name]))
        say(name, [expected(folder / "eyes", name), together[i], finished(program, [9])[9]])
    program.begin(10, Call("", {**inputs(pictures["red"]), "ids": [1], "text": "x"}, GREEDY))
    begin(program, 11, inputs(pictures["red"]))
    program.drop(10)
    say("dropped", [finished(program, [11])[11] == together[1], program._perceiving == {}])
    broken = {**inputs(pictures["red"]), "ids": [1], "text": "no place for it"}
    program.begin(12, Call("", broken, GREEDY))
    say("no place", finished(program, [12])[12])
    for name, raw in {"cut off": pictures["red"][0].data[:60], "svg": b"<svg/>"}.items():
        try:
            begin(program, 13, inputs([*pictures["red"], Media(raw, "image/*")]))
        except InferenceError as error:
            say(name, [type(error).__name__, getattr(error, "param", None)])


def templates(folder: Path) -> None:
    """Whether a template has places for pictures."""
    for name, text in {"only text": ONLY_TEXT, "blind": BLIND}.items():
        target = copied_from(folder / "eyes", folder / name.replace(" ", "-"), templated(text))
        for file in ("chat_template.json", "processor_config.json"):
            path = target / file
            if path.exists():
                values = json.loads(path.read_text())
                values.pop("chat_template", None)
                path.write_text(json.dumps(values))
        program = TextProgram(None, 8, 0, source=str(target), dtype="float32")
        say(f"template {name}", program.load()["pictures"])
        said = {"messages": [{"role": "user", "content": "Hi"}], "tools": [], "kwargs": {}}
        say(f"said {name}", program.prepare(Call("prompt", said))["text"])
    picture = [media(drawn(*RED))]
    try:
        program.prepare(Call("prompt", inputs(picture)))
    except InferenceError as error:
        say("blind template", [type(error).__name__, getattr(error, "param", None)])


IMAGE, VIDEO, START, END = 120, 121, 122, 123
GRID = torch.tensor([[1, 4, 8]])


def shifted() -> None:
    """A family that counts the tokens of a picture as fewer places."""
    torch.manual_seed(0)
    text = {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    text |= {"intermediate_size": 64, "num_key_value_heads": 2, "rope_parameters": rope}
    eyes = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 4}
    config = Qwen2VLConfig(
        text_config={**text, "eos_token_id": None, "initializer_range": 0.5},
        vision_config=eyes,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    model = AutoModelForImageTextToText.from_config(config).eval()
    pixels = torch.randn(32, 3 * 2 * 4 * 4)
    picture = [5, START, *[IMAGE] * 8, END, 7, 9]
    kinds = torch.tensor([[int(i == IMAGE) for i in picture]])
    seen = {"pixel_values": pixels, "image_grid_thw": GRID, "mm_token_type_ids": kinds}
    prompts = ([3, 4, 5, 6], picture, [8, 9], [*picture])
    whole, questions = {}, []
    for i, ids in enumerate(prompts):
        more: dict[str, Any] = seen if IMAGE in ids else {}
        told = {"max_new_tokens": LENGTH, "do_sample": False, "pad_token_id": 0}
        said = model.generate(torch.tensor([ids]), **more, **told, eos_token_id=None)
        whole[i] = said[0, len(ids) :].tolist()
        sampling = Sampling(max_tokens=LENGTH, temperature=0.0)
        questions.append(Question(i, ids, [], sampling, seen=more or None))
    generator = Generator(model, Letters(), None, [], "cpu", 8, 0)
    say("shifted", [whole, answers(generator, questions), questions[1].shift])


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    seeing(folder)
    templates(folder)
    shifted()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
