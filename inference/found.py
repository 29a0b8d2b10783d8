"""What to make of a model on the Hub: which files it needs, who runs it, whether it may. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from inference.catalogue import TASKS, CardError, ModelCard, check_card
from inference.errors import (
    LicenceRefused,
    ModelTooLarge,
    UnsafeCode,
    UnsafeFormat,
    UnsupportedModel,
)
from inference.hub import Found, is_weights
from inference.sizing import Shape, Weights

# Weights that run code when they are read.
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
# Words, settings and templates beside the weights; a folder below may hold settings of a part.
BESIDE = re.compile(
    r"[\w-][\w.-]*\.(json|txt|model|jinja|tiktoken|tiktoken\.model)|[\w-]+/[\w-]+\.json"
)
CODE = re.compile(r"[A-Za-z_]\w*\.py")
# The same weights in another cut, or for another program.
TWICE = re.compile(r"(consolidated|original|onnx|openvino|adapter|tf_|flax_)")
LARGEST_BESIDE = 2**27
# Of a model's context, what one that somebody found gets: its cache must fit as well.
FOUND_CONTEXT = 32768
# The Hub's words for a task, where ours differ.
TASK_OF_TAG = {
    "audio-text-to-text": "text-generation",
    "image-text-to-text": "text-generation",
    "any-to-any": "text-generation",
    "conversational": "text-generation",
    "sentence-similarity": "embedding",
    "feature-extraction": "embedding",
    "text-ranking": "rerank",
}


# The parts of a config that describe how a model hears: most families', Ultravox's, Granite's.
EARS = ("audio_config", "audio_model_id", "encoder_config")
# What transformers' names of models say, for those of which the Hub says nothing.
TASK_OF_NAME = (
    ("ForCausalLM", "text-generation"),
    ("ForSequenceClassification", "text-classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
    ("ForMaskedLM", "fill-mask"),
    ("ForImageClassification", "image-classification"),
    ("ForObjectDetection", "object-detection"),
    ("ForAudioClassification", "audio-classification"),
    ("ForCTC", "automatic-speech-recognition"),
    ("ForSpeechSeq2Seq", "automatic-speech-recognition"),
)


def files_of(found: Found, with_code: bool = False) -> Mapping[str, int]:
    """Paths and bytes of what has to be fetched. Raises UnsafeFormat where there are only pickles.

    `with_code` is for a model whose card trusts the code that it brings. Of several cuts of the
    same weights one is taken: what the index or the plain name says.
    """
    weights = {path: size for path, size in found.files.items() if is_weights(path)}
    weights = {path: size for path, size in weights.items() if _is_plain(path)}
    if not weights:
        if any(path.endswith(PICKLES) for path in found.files):
            raise UnsafeFormat(
                f"The weights of `{found.id}` are pickles, which run code when they are read. Only "
                "safetensors are loaded."
            )
        raise UnsupportedModel(f"`{found.id}` holds no weights in safetensors.")
    kinds = (BESIDE, CODE) if with_code else (BESIDE,)
    beside = {
        path: size
        for path, size in found.files.items()
        if any(kind.fullmatch(path) for kind in kinds)
        and size <= LARGEST_BESIDE
        and not TWICE.match(path)
    }
    return beside | weights


def sees(config: Mapping[str, object]) -> bool:
    """Whether a config is that of a model that takes pictures."""
    return "vision_config" in config


def hears(config: Mapping[str, object]) -> bool:
    """Whether a config is that of a model that takes sounds."""
    return any(name in config for name in EARS)


def _is_plain(path: str) -> bool:
    return "/" not in path and not TWICE.match(path)


def weights_of(found: Found) -> Weights:
    """What the model is made of."""
    listed = sum(size for path, size in files_of(found).items() if is_weights(path))
    return Weights(
        Shape.of(found.config),
        found.weight_bytes or listed,
        "quantization_config" in found.config,
        sees(found.config),
        hears(found.config),
    )


def check_code(name: str, config: Mapping[str, object], trusted: bool) -> None:
    """Raise UnsafeCode for a model that brings code of its own, which its card does not trust."""
    if not trusted and ("auto_map" in config or config.get("trust_remote_code")):
        raise UnsafeCode(
            f"`{name}` brings code of its own (`auto_map` in its config), which runs only where "
            "its card says so."
        )


def check_licence(found: Found, licences: Sequence[str]) -> None:
    """Raise LicenceRefused for a licence that the operator did not agree to."""
    if licences and not any(fnmatchcase(found.licence.lower(), each.lower()) for each in licences):
        raise LicenceRefused(
            f"The licence of `{found.id}` is {found.licence or 'not stated'}; this server serves "
            f"{', '.join(licences)}."
        )


def check_size(found: Found, most: int) -> None:
    """Raise ModelTooLarge for more bytes than the operator allows (0: any number)."""
    total = sum(files_of(found).values())
    if most and total > most:
        raise ModelTooLarge(
            f"`{found.id}` has {total / 2**30:.1f} GiB; models of up to {most / 2**30:.1f} GiB are "
            "fetched."
        )


def card_of(
    found: Found, vllm: Mapping[str, frozenset[str]], transformers: frozenset[str]
) -> ModelCard:
    """A card for the model: vLLM where it knows it for its task, else transformers.

    Raises UnsupportedModel where neither does.
    """
    architectures = [str(each) for each in found.config.get("architectures") or ()]
    task, engine = _runs(found, architectures, vllm, transformers)
    context = Shape.of(found.config).context
    card = ModelCard(
        id=found.id,
        source=found.id,
        revision=found.commit,
        task=task,
        engine=engine,
        max_model_len=min(context, FOUND_CONTEXT) if task == "text-generation" else None,
        licence=found.licence,
        found=True,
        notes="Found on the Hub.",
    )
    try:
        check_card(card)
    except CardError as error:
        raise _unsupported(found, architectures) from error
    return card


def _runs(
    found: Found,
    architectures: Sequence[str],
    vllm: Mapping[str, frozenset[str]],
    transformers: frozenset[str],
) -> tuple[str, str]:
    """Task and engine."""
    wanted = TASK_OF_TAG.get(found.pipeline_tag, found.pipeline_tag)
    for name in architectures:
        offered = vllm.get(name, frozenset())
        if not wanted and offered:
            # Nobody said what it is for: vLLM's first table that has it does.
            return sorted(offered, key=TASKS.index)[0], "vllm"
        if wanted in offered:
            return wanted, "vllm"
    named = next((task for end, task in TASK_OF_NAME if name_ends(architectures, end)), "")
    # Whoever sees or hears and can be chatted with is asked as everybody else is.
    has = {"image-text-to-text": sees, "audio-text-to-text": hears}.get(found.pipeline_tag)
    task = wanted if has and has(found.config) else found.pipeline_tag or named
    if task and any(name in transformers for name in architectures):
        return task, "transformers"
    raise _unsupported(found, architectures)


def name_ends(architectures: Sequence[str], end: str) -> bool:
    """Whether one of them is for what its name ends in."""
    return any(name.endswith(end) for name in architectures)


def _unsupported(found: Found, architectures: Sequence[str]) -> UnsupportedModel:
    kind = ", ".join(architectures) or "a model without a config"
    purpose = f" for {found.pipeline_tag}" if found.pipeline_tag else ""
    return UnsupportedModel(f"No engine of this server runs `{found.id}`{purpose} ({kind}).")
