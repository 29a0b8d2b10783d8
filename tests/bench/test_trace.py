"""The reader of traces in BurstGPT's format."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scheduling.engine_model import Rates
from bench.scheduling.scenarios import SEQS
from bench.scheduling.trace import BadTrace, Trace, read, workload
from bench.scheduling.workload import Cell

HEAD = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
CELL = Cell("trace", 1, 3.0, 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lines = [f"{5 + 45 * i},ChatGPT,472,18,490,Conversation log\n" for i in range(50)]
    lines[3:3] = ["100,GPT-4,1087,230,1317,API log\n", "101,GPT-4,417,0,417,API log\n"]
    (tmp_path / "trace.csv").write_text(HEAD + "".join(lines))
    return tmp_path / "trace.csv"


def test_lines_become_requests_and_failures_are_left_out(path: Path) -> None:
    requests = list(read(path, 1000))
    assert len(requests) == 51
    assert requests[3].model == "GPT-4" and requests[3].user == "API log"
    assert (requests[3].arrival, requests[3].prompt, requests[3].answer) == (100.0, 1087, 230)


def test_no_more_is_read_than_asked_for(path: Path) -> None:
    assert len(list(read(path, 10))) == 10


def test_the_models_are_those_it_names_or_as_many_as_asked_for(path: Path) -> None:
    named = workload(Trace(str(path)), CELL, Rates())
    dealt = workload(Trace(str(path), models=8), CELL, Rates())
    assert {r.model for r in named.requests} == {"model-00", "model-01"}
    assert len(dealt.models) == 8 and len({r.model for r in dealt.requests}) > 3


def test_it_is_stretched_to_the_load_asked_for(path: Path) -> None:
    work = workload(Trace(str(path), load=0.5), CELL, Rates())
    seconds = sum(Rates().in_full_batch(r.prompt, r.answer, SEQS) for r in work.requests)
    assert seconds / work.requests[-1].arrival == pytest.approx(0.5)
    assert workload(Trace(str(path), load=0), CELL, Rates()).requests[-1].arrival == 45 * 49


def test_the_same_seed_deals_the_same(path: Path) -> None:
    one, other = (workload(Trace(str(path), models=4), CELL, Rates()) for _ in range(2))
    assert one.requests == other.requests


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Timestamp,Model\n1,x\n", "no column Request tokens"),
        (HEAD + "1,x,many,2,3,API log\n", "line 2"),
        (HEAD + "1,x\n", "line 2"),
        (HEAD, "no request"),
    ],
)
def test_another_file_is_told_apart(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(BadTrace, match=said):
        workload(Trace(str(tmp_path / "other.csv")), CELL, Rates())
