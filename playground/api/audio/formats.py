"""What was heard, in the formats that OpenAI's routes know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse

from ..errors import json_response


def response(found: Mapping[str, Any], format_: str, task: str, language: str) -> HttpResponse:
    """The answer, as asked for."""
    text = str(found["text"]).strip()
    if format_ == "json":
        return json_response({"text": text})
    segments = [_segment(i, each) for i, each in enumerate(found.get("chunks") or ())]
    if format_ == "verbose_json":
        whole = {"task": task, "language": language, "text": text, "segments": segments}
        return json_response(whole | {"duration": segments[-1]["end"] if segments else 0.0})
    plain = {"text": f"{text}\n", "srt": _srt(segments), "vtt": _vtt(segments)}[format_]
    return HttpResponse(plain.encode(), content_type="text/plain; charset=utf-8")


def _segment(index: int, chunk: Mapping[str, Any]) -> dict[str, Any]:
    start, end = chunk["timestamp"]
    start = float(start or 0.0)
    text = chunk["text"]
    # A last piece may have no end.
    return {"id": index, "start": start, "end": float(start if end is None else end), "text": text}


def _srt(segments: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"{i}\n{_cue(each, ',')}" for i, each in enumerate(segments, 1))


def _vtt(segments: Sequence[Mapping[str, Any]]) -> str:
    return "WEBVTT\n\n" + "".join(_cue(each, ".") for each in segments)


def _cue(segment: Mapping[str, Any], point: str) -> str:
    times = f"{_time(segment['start'], point)} --> {_time(segment['end'], point)}"
    return f"{times}\n{segment['text'].strip()}\n\n"


def _time(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{thousandths:03}"
