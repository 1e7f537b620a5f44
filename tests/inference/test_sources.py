from __future__ import annotations

import shutil
import threading
from pathlib import Path

from inference.sources import tree_size


def test_the_size_of_a_folder_that_others_empty_is_told(tmp_path: Path) -> None:
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            (tmp_path / "a" / "b").mkdir(parents=True, exist_ok=True)
            (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 10)
            shutil.rmtree(tmp_path / "a")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert {tree_size(tmp_path) for _ in range(2000)} <= {0, 10}
    finally:
        done.set()
        thread.join()
