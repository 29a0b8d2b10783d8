"""The child that downloads one model: `python -m inference.fetch`, its orders on standard input.

A process of its own, so that gigabytes pass by the server's event loop, and so that it can be
stopped at any moment: what is on disk is the beginning of each file, and the next child goes on
there. It says how far it is, a line of JSON at a time, and at last `{"done": true}` or
`{"error": …, "message": …}`.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference.engines.child import follow
from inference.store import COMPLETE, PART

# Files that come at the same time.
AT_ONCE = 4
# What is lost when the connection breaks, at most.
PIECE_BYTES = 64 * 2**10
NEWS_SECONDS = 0.2


class Progress:
    """Counts the bytes of all files; `tell` says so, again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0

    def add(self, count: int) -> None:
        """So many bytes more are on disk."""
        with self._lock:
            self.bytes += count

    def tell(self) -> None:
        """A line whenever there are more, but not too often."""
        said = -1
        while True:
            if self.bytes != said:
                said = self.bytes
                say(bytes=said)
            time.sleep(NEWS_SECONDS)


def say(**fields: Any) -> None:
    """One line for the parent."""
    # In one piece, so that no other thread's line comes in between.
    os.write(sys.stdout.fileno(), json.dumps(fields).encode() + b"\n")


def main() -> None:
    """Do as ordered, then end."""
    follow(os.getppid())
    orders = json.loads(sys.stdin.readline())
    progress = Progress()
    threading.Thread(target=progress.tell, daemon=True).start()
    try:
        fetch(orders, progress)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        say(error="full" if full else "broken", message=in_words(error))
    except Exception as error:  # whatever the Hub's client raises; the parent tells who waits
        gated = type(error).__name__ == "GatedRepoError"
        say(error="gated" if gated else "broken", message=in_words(error))
    else:
        say(done=True)


def in_words(error: Exception) -> str:
    """What it was, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def fetch(orders: dict[str, Any], progress: Progress) -> None:
    """Bring every file that is not there, several at a time; then mark the model as complete."""
    folder = Path(orders["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, int] = orders["files"]
    # The largest first: the last file to come then is a small one.
    paths = sorted(files, key=lambda path: -files[path])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        work = [pool.submit(fetch_file, orders, folder, path, progress) for path in paths]
        try:
            for each in work:
                each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    (folder / COMPLETE).touch()


def fetch_file(orders: dict[str, Any], folder: Path, path: str, progress: Progress) -> None:
    """Bring one file, from where it was left."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import get_hf_file_metadata, http_get
    from huggingface_hub.utils import build_hf_headers

    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
    size = int(orders["files"][path])
    whole, part = folder / path, folder / (path + PART)
    if whole.exists():
        progress.add(size)
        return
    whole.parent.mkdir(parents=True, exist_ok=True)
    endpoint = orders["endpoint"]
    url = hf_hub_url(orders["source"], path, revision=orders["commit"], endpoint=endpoint)
    told = get_hf_file_metadata(url, endpoint=endpoint)
    if told.size not in (None, size):
        raise ValueError(f"{path} has {told.size} bytes where the list says {size}.")
    headers = build_hf_headers()
    if urlsplit(told.location).netloc != urlsplit(url).netloc:
        # The token is for the Hub, not for whoever keeps its files.
        headers.pop("authorization", None)
    with part.open("ab") as file:
        if file.tell() > size:
            file.truncate(0)
        have = file.tell()
        progress.add(have)
        http_get(
            told.location,
            file,
            resume_size=have,
            headers=headers,
            expected_size=size,
            tqdm_class=counting(progress),
        )
    part.rename(whole)


def counting(progress: Progress) -> Any:
    """A progress bar that is none."""
    from inference.hub import Silence

    class Counting(Silence):
        def update(self, count: int) -> None:
            progress.add(count)

    return Counting


if __name__ == "__main__":
    main()
