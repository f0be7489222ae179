"""Text in the columns of a terminal, where a character may take two of them or none."""

import pytest

from zoo.columns import clip, pad, paragraph, phrases, table, table_or_records, width


@pytest.mark.parametrize("text, columns", [("abc", 3), ("\u5e8a\u524d", 4), ("\U0001f499\ufe0f", 2), ("e\u0301", 1), ("", 0)])
def test_the_width_of_a_text(text, columns):
    assert width(text) == columns and width(pad(text, 6)) == 6


def test_what_is_too_long_is_clipped():
    assert (
        clip("harbour", 7) == "harbour"
        and clip("harbours", 7) == "harbou…"
        and clip("\u5e8a\u524d\u660e", 5) == "\u5e8a\u524d…"
    )


def test_wide_characters_in_paragraphs_and_tables(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = paragraph("\u5e8a\u524d\u660e\u6708\u5149 " * 9)
    assert len(lines) == 3 and all(32 <= width(line) <= 40 for line in lines[:2])
    assert table([("\u5e8a", "1"), ("abc", "22")]) == ["  \u5e8a    1", "  abc  22"]


def test_phrases_and_records_where_a_line_is_too_long(monkeypatch):
    parts = [("x" * 18, 18), ("y" * 18, 18), ("z" * 18, 18)]
    head, rows, lines = ("model", "loss"), [("a", "1"), ("b", "2")], ["x" * 50]
    monkeypatch.setenv("COLUMNS", "40")
    assert phrases(parts) == [f"  {'x' * 18}  {'y' * 18}", f"  {'z' * 18}"]
    assert table_or_records(head, rows, lines) == ["model: a", "  loss: 1", "", "model: b", "  loss: 2"]
    monkeypatch.setenv("COLUMNS", "80")
    assert len(phrases(parts)) == 1 and table_or_records(head, rows, lines) == lines
