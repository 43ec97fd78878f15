"""`make lint` fails when a document names what is gone."""

import sys

import pytest
from harness.process import ROOT

sys.path.insert(0, str(ROOT / "tests"))
import lint_docs  # noqa: E402


@pytest.fixture
def code(folder):
    file = folder / "room.c"
    file.write_text("/* room_left() was here */\nint room_join(int n)\n{\n    return strlen(n);\n}\n")
    return [file]


@pytest.mark.parametrize("text, found", [
    ("room_join() calls `strlen()`; `room_join`", []),
    ("room_left()", ["function room_left()"]),
    ("`room_left()` and `room_left(n)`", ["function room_left()"]),
    ("in a row: room_open(), room_join()", ["function room_open()"]),
    ("`room_left`", ["name room_left"]),
    ("`lws_of_a_library`, `word`, `CONSTANT_NAME`, a room_name in prose", []),
])
def test_names_that_are_gone(code, text, found):
    assert list(lint_docs.gone(text, lint_docs.called(code), lint_docs.words_of(code))) == found


def test_a_function_is_in_the_file_it_is_named_behind(code, folder):
    text = "`room.c` `room_join`, `room_left`"
    assert list(lint_docs.in_file(folder / "README.md", code, text)) == ["room_left in room.c"]
