"""What a client asks is read as the API has it, or refused with a sentence that names the field."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inflight.lab.emulator.lengths import AnswerLengths, chat_tokens, text_tokens
from inflight.lab.emulator.requests import RequestError, read_chat, read_completion

LIMIT = 100


def completion(**fields: Any) -> Any:
    return read_completion(json.dumps({"model": "m", "prompt": "four words of text", **fields}).encode(), "m", LIMIT)


def chat(**fields: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    return read_chat(json.dumps(body).encode(), "m", LIMIT)


def test_a_completion_has_the_defaults_of_the_api() -> None:
    work = completion()
    assert (work.prompt_tokens, work.max_tokens, work.min_tokens) == (5, 16, 0)
    assert not work.stream
    assert not work.ignore_eos
    assert not work.usage_at_end


def test_a_chat_may_go_on_to_the_end_of_the_context() -> None:
    work = chat()
    assert work.max_tokens == LIMIT - work.prompt_tokens


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [([5, 6, 7], 3), ([[5, 6, 7, 8]], 4), (["x" * 40], 10), ("x", 1), ("x" * 41, 11), ("é" * 4, 1)],
)
def test_prompts_are_counted(prompt: Any, tokens: int) -> None:
    assert completion(prompt=prompt).prompt_tokens == tokens


def test_chat_messages_are_counted_with_their_marks() -> None:
    parts = [{"type": "text", "text": "x" * 10}, {"type": "text", "text": "y" * 10}]
    one = chat(messages=[{"role": "user", "content": "x" * 20}])
    assert one.prompt_tokens == 5 + 5 + 6
    assert chat(messages=[{"role": "user", "content": parts}]).prompt_tokens == one.prompt_tokens
    called = chat(messages=[{"role": "assistant", "content": None, "tool_calls": []}])
    assert called.prompt_tokens == 5 + 5 + 3


def test_the_newer_name_of_the_limit_goes_first() -> None:
    assert chat(max_tokens=7, max_completion_tokens=9).max_tokens == 9
    assert chat(max_tokens=7).max_tokens == 7


def test_a_default_limit_shrinks_behind_a_long_prompt_and_a_given_one_is_refused() -> None:
    assert completion(prompt=[1] * 95).max_tokens == 5
    with pytest.raises(RequestError, match=r"max_tokens is too large: 6.*\(6 > 100 - 95\)"):
        completion(prompt=[1] * 95, max_tokens=6)


def test_usage_options_of_a_stream() -> None:
    work = completion(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
    assert work.stream
    assert work.usage_at_end
    assert work.usage_always
    assert not completion(stream=True, stream_options={"continuous_usage_stats": True}).usage_always


def test_fields_that_only_colour_the_text_are_ignored() -> None:
    plain = completion()
    assert plain == completion(temperature=0.2, top_p=0.9, stop=["\n"], presence_penalty=1, user="u", n=1, best_of=1)
    assert completion(model=None) == plain


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"n": 2}, "n", "n must be 1, not 2"),
        ({"best_of": 3}, "best_of", "best_of must be 1"),
        ({"echo": True}, "echo", "echo is not emulated"),
        ({"logprobs": 1}, "logprobs", "logprobs are not emulated"),
        ({"logprobs": 0}, "logprobs", "logprobs are not emulated"),
        ({"prompt_logprobs": 1}, "prompt_logprobs", "not emulated"),
        ({"use_beam_search": True}, "use_beam_search", "not emulated"),
        ({"prompt": None}, "prompt", "not empty"),
        ({"prompt": ""}, "prompt", "not empty"),
        ({"prompt": []}, "prompt", "not empty"),
        ({"prompt": [[]]}, "prompt", "not empty"),
        ({"prompt": {"text": "x"}}, "prompt", "a text or a list of token ids"),
        ({"prompt": [1.5, 2]}, "prompt", "one prompt a request"),
        ({"prompt": ["a", "b"]}, "prompt", "holds 2 prompts"),
        ({"prompt": [1] * 100}, "prompt", "maximum context length is 100 tokens"),
        ({"max_tokens": 0}, "max_tokens", "at least 1, got 0"),
        ({"max_tokens": -4}, "max_tokens", "at least 1, got -4"),
        ({"max_tokens": "7"}, "max_tokens", "Expected 'int | null', got 'str'"),
        ({"max_tokens": 10**30}, "max_tokens", "too large|out of range|Expected"),
        ({"min_tokens": 17}, "min_tokens", r"from 0 to max_tokens \(16\)"),
        ({"min_tokens": -1}, "min_tokens", "got -1"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "only be set with stream true"),
        ({"stream": "yes"}, "stream", "Expected 'bool | null'"),
    ],
)
def test_a_completion_that_cannot_be_served_names_its_field(fields: Any, param: str, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence) as caught:
        completion(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": "hello"}, "messages", "Expected 'array'"),
        ({"messages": [{"content": "x"}]}, "messages[0]", "missing the field 'role'"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "a text or a list of parts"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0]",
            "'image_url' are not emulated",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0]", "needs its text"),
        ({"messages": [{"role": "user", "content": [3]}]}, "messages[0].content[0]", "'int' are not emulated"),
        ({"messages": [{"role": "user", "content": "x" * 500}]}, "messages", "maximum context length"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "at least 1"),
        ({"max_completion_tokens": 99}, "max_completion_tokens", "too large"),
        ({"logprobs": True}, "logprobs", "not emulated"),
    ],
)
def test_a_chat_that_cannot_be_served_names_its_field(fields: Any, param: str, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence) as caught:
        chat(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_another_model_is_not_found() -> None:
    with pytest.raises(RequestError, match="The model `other` does not exist; this server has `m`") as caught:
        chat(model="other")
    assert (caught.value.status, caught.value.kind) == (404, "NotFoundError")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"prompt": "\xff"}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    for read in (read_completion, read_chat):
        with pytest.raises(RequestError) as caught:
            read(body, "m", LIMIT)
        assert caught.value.status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('ab é"\n', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("typexu", max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "model",
    "prompt",
    "messages",
    "max_tokens",
    "min_tokens",
    "n",
    "stream",
    "stream_options",
    "seed",
    "logprobs",
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_body_is_served_or_refused_with_a_sentence(body: dict[str, Any]) -> None:
    for read in (read_completion, read_chat):
        try:
            work = read(json.dumps(body).encode(), "m", LIMIT)
        except RequestError as error:
            assert error.message
            assert error.status in {400, 404}
        else:
            assert work.prompt_tokens >= 1
            assert 1 <= work.max_tokens <= LIMIT - work.prompt_tokens
            assert 0 <= work.min_tokens <= work.max_tokens


def test_answer_lengths_have_the_median_and_the_mean_asked_for() -> None:
    draw = random.Random(3)
    lengths = sorted(AnswerLengths(100, 150).draw(draw) for _ in range(20_000))
    # Three standard errors: of a median 1.25 * sigma / sqrt(n), of a mean that of the log-normal's deviation.
    assert lengths[10_000] == pytest.approx(100, rel=0.03)
    assert sum(lengths) / len(lengths) == pytest.approx(150, rel=0.03)
    assert {AnswerLengths(7, 7).draw(draw) for _ in range(10)} == {7}


@pytest.mark.parametrize(("median", "mean"), [(0, 5), (10, 5), (5, float("inf")), (float("nan"), 5)])
def test_answer_lengths_that_cannot_be_are_refused(median: float, mean: float) -> None:
    with pytest.raises(ValueError, match="median of the answer lengths"):
        AnswerLengths(median, mean)


def test_an_empty_text_still_has_its_first_mark() -> None:
    assert text_tokens("") == 1
    assert chat_tokens([]) == 5
