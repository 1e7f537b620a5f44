from __future__ import annotations

import runpy

from tests.deploy.code import ROOT


def test_the_table_of_what_the_page_does_is_that_of_the_tests() -> None:
    table = runpy.run_path(str(ROOT / "docs" / "ui_table.py"))
    assert table["TABLE"].read_text() == table["text"](), "run `make ui-table`"
