"""Programs for text in all conditions: `python -m tests.inference.text_programs FOLDER`.

A program of its own: transformers takes seconds to import, and a template is tried in a fork. Each
line is JSON: the name of a case and what was found.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from bench.embedding_model import save_bert
from inference.engines.program import Call, Last
from inference.engines.text import prompts
from inference.engines.text.generator import Generator, Question
from inference.engines.text.program import TextProgram
from inference.engines.text.sampling import Sampling
from inference.engines.vectors import POOLING, VectorProgram
from inference.errors import InferenceError
from tests.inference.resuming import POCKET

LINES = ("The capital of France is", "Hello", "One two three four five six", "x")
SMALL = {"vocab_size": 128, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
HALF = {"intermediate_size": 64, "num_key_value_heads": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
# Else some of them say the same token over and over.
WILD = {"initializer_range": 0.5}
FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "llama": ("LlamaConfig", SMALL | HALF),
    "gpt2": ("GPT2Config", WILD | {"vocab_size": 128, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    "windows": ("MistralConfig", SMALL | HALF | {"sliding_window": 8}),
    "some windows": ("Gemma3TextConfig", SMALL | HALF | {"head_dim": 8, "sliding_window": 8}),
    "no positions": ("BloomConfig", WILD | {"vocab_size": 128, "hidden_size": 32, "n_layer": 2}),
    "experts": ("Qwen3MoeConfig", SMALL | HALF | EXPERTS),
    "recurrent": ("MambaConfig", WILD | SMALL | {"state_size": 4}),
    "half recurrent": (
        "Lfm2Config",
        WILD | SMALL | HALF | {"layer_types": ["conv", "full_attention", "conv"]},
    ),
}
PROMPTS = ([5, 9, 11, 3, 7, 8, 2, 10, 44, 33, 21], [7, 3], [100, 20, 30, 40], list(range(1, 20)))
LENGTHS = (12, 4, 12, 9)
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
GROWING = (
    "{% set ns = namespace(s='x' * 1000) %}{% for i in range(60) %}"
    "{% set ns.s = ns.s * 10000 %}{% endfor %}{{ ns.s }}"
)
LATE = "{% if messages[0].content == 'loop' %}" + ENDLESS + "{% endif %}{{ messages[0].content }}"


def say(name: str, found: Any) -> None:
    print(json.dumps([name, found]), flush=True)


def answers(generator: Any, questions: Sequence[Question]) -> dict[int, Any]:
    """Tokens of each question, which come one by one; an error's name in place of what failed."""
    coming, found = list(questions), {question.key: [] for question in questions}
    going = set(found)
    while going:
        if coming:
            generator.add(coming.pop(0))
        for key, piece in generator.step():
            if isinstance(piece, BaseException):
                found[key] = type(piece).__name__
            else:
                updates = piece.value[0] if isinstance(piece, Last) else piece[0]
                found[key] += [update[2] for update in updates]
            if isinstance(piece, Last | BaseException):
                going.discard(key)
    return found


# --- rungs ----------------------------------------------------------------------------------------


def loaded(source: Path, **loading: Any) -> tuple[TextProgram, Mapping[str, Any]]:
    program = TextProgram(None, 8, 0, source=str(source), dtype="float32", **loading)
    return program, program.load()


def greedy(program: TextProgram) -> list[Any]:
    found = []
    for text in LINES:
        ids = program.prepare(Call("prompt", {"prompt": text}))["ids"]
        sampling = {"max_tokens": 12, "temperature": 0.0, "ignore_eos": True}
        program.begin(1, Call("", {"ids": ids, "said": []}, sampling))
        tokens: list[int] = []
        piece: Any = None
        while not isinstance(piece, Last):
            for _, piece in program.step():
                tokens.append((piece.value if isinstance(piece, Last) else piece)[0][0][2])
        found.append(tokens)
    return found


def rungs(folder: Path) -> None:
    offload = folder / "offload"
    ways: Mapping[str, Mapping[str, Any]] = {
        "full": {},
        "8bit": {"rung": "8bit"},
        "4bit": {"rung": "4bit"},
        "disk_offload": {
            "rung": "disk_offload",
            "host_bytes": 9 * 2**20,
            "offload": str(offload),
        },
    }
    for name, way in ways.items():
        program, _ = loaded(POCKET, **way)
        places = getattr(program.model, "hf_device_map", {})
        size = program.model.get_memory_footprint()
        say(name, [greedy(program), sorted({str(place) for place in places.values()}), size])


# --- what comes with a repository -----------------------------------------------------------------


def copied(folder: Path, name: str, change: Callable[[Path], None]) -> Path:
    return copied_from(POCKET, folder / name, change)


def copied_from(source: Path, target: Path, change: Callable[[Path], None]) -> Path:
    shutil.copytree(source, target)
    change(target)
    return target


def edited(file: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def templated(text: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text)
        edited("tokenizer_config.json", chat_template=text)(folder)

    return change


def pickled(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")


def hostile(folder: Path) -> None:
    changes = {
        "pickle": pickled,
        "code": edited("config.json", auto_map={"AutoModelForCausalLM": "model.Evil"}),
        "code of the tokenizer": edited("tokenizer_config.json", auto_map={"AutoTokenizer": "x.X"}),
        "endless": templated(ENDLESS),
        "growing": templated(GROWING),
    }
    for name, change in changes.items():
        try:
            loaded(copied(folder, name.replace(" ", "-"), change))
            say(name, "loaded")
        except InferenceError as error:
            say(name, [type(error).__name__, error.message])
    program, _ = loaded(copied(folder, "late", templated(LATE)))
    for text in ("well", "loop"):
        asked = {"messages": [{"role": "user", "content": text}], "tools": [], "kwargs": {}}
        try:
            say(f"late, {text}", program.prepare(Call("prompt", asked))["text"])
        except InferenceError as error:
            say(f"late, {text}", [type(error).__name__, error.message])


# --- families, and memory that runs out -----------------------------------------------------------


class Letters:
    """A tokenizer with a letter for each token."""

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return "".join(chr(65 + i % 26) for i in ids)


def made(family: str) -> Any:
    torch.manual_seed(0)
    name, values = FAMILIES[family]
    config = getattr(transformers, name)(**values, eos_token_id=None, pad_token_id=None)
    return AutoModelForCausalLM.from_config(config).eval()


def asked() -> list[Question]:
    return [
        Question(i, ids, [], Sampling(max_tokens=LENGTHS[i], temperature=0.0))
        for i, ids in enumerate(PROMPTS)
    ]


def families() -> None:
    for family in FAMILIES:
        model = made(family)
        expected = {}
        for i, ids in enumerate(PROMPTS):
            told = {"max_new_tokens": LENGTHS[i], "do_sample": False, "pad_token_id": 0}
            whole = model.generate(torch.tensor([ids]), **told)
            expected[i] = whole[0, len(ids) :].tolist()
        generator = Generator(model, Letters(), None, [], "cpu", 8, 2**30)
        say(f"family {family}", [expected, answers(generator, asked())])


def exhausted(family: str) -> None:
    """Memory runs out once, when three answers run together."""
    model = made(family)
    generator: Any = Generator(model, Letters(), None, [], "cpu", 8, 0)
    whole = answers(generator, asked())
    forward, thrown = model.forward, []

    def failing(*args: Any, **named: Any) -> Any:
        found = forward(*args, **named)
        if not thrown and named["input_ids"].shape[0] == 3:
            thrown.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found

    model.forward = failing
    say(f"exhausted {family}", [whole, answers(generator, asked())])
    say(f"after {family}", answers(generator, asked()))


def crowded() -> None:
    """A cache with room for two answers at a time."""
    model = made("llama")
    bytes_per_token = 2 * 3 * 2 * 8 * 4
    generator = Generator(model, Letters(), None, [], "cpu", 8, 30 * bytes_per_token)
    most = 0
    step = generator.step

    def counted() -> Any:
        nonlocal most
        found = step()
        most = max(most, sum(len(group.rows) for group in generator.groups))
        return found

    generator.step = counted  # type: ignore[method-assign]
    say("crowded", [answers(generator, asked()), most])


# --- vectors --------------------------------------------------------------------------------------

TEXTS = ["bad", "lod mek sin", "gar " * 20, "tol nus"]


def vectors_of(program: VectorProgram, task: str, texts: Sequence[Any]) -> list[list[Any]]:
    """All together, and one by one."""
    asked = {"texts": texts, "truncate": None, "field": "input"}
    calls = program.parts(Call(task, program.prepare(Call(task, asked))))
    together = program.run(calls)
    alone = [program.run([call])[0] for call in calls]
    return [
        [list(x) if not isinstance(x, float) else x for x in some] for some in (together, alone)
    ]


def vectors(folder: Path) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    save_bert(folder / "mean", vocab_size=2048, intermediate_size=64, context=40, **shape)
    save_bert(folder / "scores", scores=True, vocab_size=2048, intermediate_size=64, **shape)
    shutil.copytree(folder / "mean", folder / "cls")
    (folder / "cls" / "1_Pooling").mkdir()
    (folder / "cls" / POOLING).write_text(json.dumps({"pooling_mode_cls_token": True}))
    for name in ("mean", "cls"):
        program = VectorProgram(False, None, source=str(folder / name), dtype="float32")
        say(f"facts {name}", program.load())
        say(f"vectors {name}", vectors_of(program, "texts", TEXTS))
    try:
        vectors_of(program, "texts", ["gar " * 50])
    except InferenceError as error:
        say("vectors too long", [type(error).__name__, getattr(error, "param", "")])
    program = VectorProgram(True, None, source=str(folder / "scores"), dtype="float32")
    program.load()
    say("scores", vectors_of(program, "texts", [["bad", text] for text in TEXTS]))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    prompts.TEMPLATE_SECONDS = 1
    hostile(folder)
    rungs(folder)
    families()
    exhausted("llama")
    exhausted("windows")
    crowded()
    vectors(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
