"""Documents remember where each value stood, and refuse what would hurt."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inflight.documents import DocumentError, load_documents


class Pod(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    port: int = 80


class File(msgspec.Struct, forbid_unknown_fields=True):
    pods: list[Pod]


def test_a_wrong_field_is_named_with_file_line_and_path() -> None:
    (document,) = load_documents("pods:\n- name: a\n- name: b\n  port: eighty\n", "targets.yaml")
    with pytest.raises(DocumentError, match=r"^targets\.yaml:4: pods\[1\]\.port: expected `int`, got `str`$"):
        document.convert(File)


def test_an_unknown_field_is_named_with_the_line_of_its_object() -> None:
    (document,) = load_documents("pods:\n- name: a\n  prot: 1\n", "t.yaml")
    with pytest.raises(DocumentError, match=r"^t\.yaml:2: pods\[0\]: unknown field `prot`$"):
        document.convert(File)


def test_a_missing_field_is_named() -> None:
    (document,) = load_documents("pods:\n- port: 1\n", "t.yaml")
    with pytest.raises(DocumentError, match=r"t\.yaml:2: pods\[0\]: the field `name` is missing"):
        document.convert(File)


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"t\.yaml:2: a: the key stands here twice"):
        load_documents("a: 1\na: 2\n", "t.yaml")


def test_several_documents_and_empty_ones() -> None:
    documents = load_documents("---\na: 1\n---\n---\nb: 2\n", "t.yaml")
    assert [d.value for d in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].line_of(("b",)) == 5


def test_json_is_read_too() -> None:
    (document,) = load_documents('{"a": [1, 2.5, true, null, "x"]}', "t.json")
    assert document.value == {"a": [1, 2.5, True, None, "x"]}


def test_an_alias_is_followed_and_a_bomb_is_refused() -> None:
    (document,) = load_documents("a: &x [1]\nb: *x\n", "t.yaml")
    assert document.value == {"a": [1], "b": [1]}
    bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    with pytest.raises(DocumentError, match="more than 400000 values"):
        load_documents(bomb, "bomb.yaml")


@pytest.mark.parametrize(
    "text", ["a: [1", "a: !!python/object:os.system x", "\x00", "? [a]\n: b", "<<: {a: 1}", "a: !x 1"]
)
def test_what_cannot_be_read_is_a_document_error(text: str) -> None:
    with pytest.raises(DocumentError, match=r"^t\.yaml"):
        load_documents(text, "t.yaml")


def test_text_that_is_not_utf8_names_its_line() -> None:
    with pytest.raises(DocumentError, match=r"^t\.yaml:2: not UTF-8 text$"):
        load_documents(b"a: 1\nb: \xff\n", "t.yaml")


def test_a_deep_text_is_refused() -> None:
    with pytest.raises(DocumentError, match="deep"):
        load_documents("[" * 100 + "]" * 100, "t.yaml")


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        load_documents(text, "t.yaml")
    except DocumentError as error:
        assert str(error).startswith("t.yaml")
