"""What a client of the OpenAI API may ask, read strictly enough that a wrong request gets a sentence and not a guess.

Fields that only colour the text (`temperature`, `top_p`, `stop`, penalties, `tools`, `response_format`) are accepted
and have no effect: nothing here reads the prompt. Fields that would change the shape of the answer in a way that is not
emulated (`n` above 1, `echo`, `logprobs`, images) are refused.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from inflight.lab.emulator.lengths import chat_tokens, text_tokens

# The default of the completions API (OpenAI's, kept by vLLM); a chat may go on to the end of the context.
COMPLETION_DEFAULT_MAX_TOKENS = 16

T = TypeVar("T")


class RequestError(Exception):
    """A request that is refused: the HTTP status, the sentence, and the field it is about."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "BadRequestError", param: str = "") -> None:
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param or None
        super().__init__(message)


class StreamOptions(msgspec.Struct, frozen=True):
    """`continuous_usage_stats` is vLLM's own: the counts so far in every chunk."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Common(msgspec.Struct, frozen=True):
    """The fields that completions and chats share; every other field is ignored."""

    model: str | None = None
    max_tokens: int | None = None
    min_tokens: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    seed: int | None = None
    ignore_eos: bool | None = None
    use_beam_search: bool | None = None


class CompletionBody(Common, frozen=True):
    prompt: Any = None
    best_of: int | None = None
    echo: bool | None = None
    logprobs: int | None = None
    prompt_logprobs: int | None = None


class Message(msgspec.Struct, frozen=True):
    role: str
    content: Any = None


class ChatBody(Common, frozen=True):
    messages: list[Message] = []
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    prompt_logprobs: int | None = None


class Work(msgspec.Struct, frozen=True):
    """What a request asks of the engine. `max_tokens` is what may be generated at most, `min_tokens` at least."""

    prompt_tokens: int
    max_tokens: int
    min_tokens: int
    ignore_eos: bool
    seed: int | None
    stream: bool
    usage_at_end: bool
    usage_always: bool


def read_completion(body: bytes, model: str, max_model_len_tokens: int) -> Work:
    """A body of POST /v1/completions. Raises RequestError."""
    asked = _decode(body, CompletionBody)
    _check_model(asked, model)
    _refuse_unemulated(asked)
    if asked.best_of is not None and asked.best_of != 1:
        raise RequestError("best_of must be 1: one answer a request is emulated", param="best_of")
    if asked.echo:
        raise RequestError("echo is not emulated: leave it out", param="echo")
    prompt_tokens = _prompt_tokens(asked.prompt)
    limit = COMPLETION_DEFAULT_MAX_TOKENS if asked.max_tokens is None else asked.max_tokens
    # Where the default does not fit behind a long prompt it shrinks; a limit that was asked for is refused.
    room = max_model_len_tokens - prompt_tokens
    if asked.max_tokens is None and room > 0:
        limit = min(limit, room)
    return _work(asked, prompt_tokens, limit, max_model_len_tokens, "max_tokens")


def read_chat(body: bytes, model: str, max_model_len_tokens: int) -> Work:
    """A body of POST /v1/chat/completions. Raises RequestError."""
    asked = _decode(body, ChatBody)
    _check_model(asked, model)
    _refuse_unemulated(asked)
    if not asked.messages:
        raise RequestError("messages must be a list with at least one message", param="messages")
    contents = [_content(message, f"messages[{index}].content") for index, message in enumerate(asked.messages)]
    prompt_tokens = chat_tokens(contents)
    newer = asked.max_completion_tokens is not None
    limit = asked.max_completion_tokens if newer else asked.max_tokens
    param = "max_completion_tokens" if newer else "max_tokens"
    if limit is None:
        limit = max(1, max_model_len_tokens - prompt_tokens)
    return _work(asked, prompt_tokens, limit, max_model_len_tokens, param)


def _decode(body: bytes, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=wanted)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$.")
        param = where.rstrip("`")
        problem = problem.replace("Object missing required field", "missing the field").replace("`", "'")
        raise RequestError(f"{param}: {problem}" if param else problem, param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error


def _check_model(asked: Common, model: str) -> None:
    if asked.model is not None and asked.model != model:
        raise RequestError(
            f"The model `{asked.model[:200]}` does not exist; this server has `{model}`.",
            status=404,
            kind="NotFoundError",
            param="model",
        )


def _refuse_unemulated(asked: CompletionBody | ChatBody) -> None:
    if asked.n is not None and asked.n != 1:
        raise RequestError(f"n must be 1, not {asked.n}: one answer a request is emulated", param="n")
    if asked.use_beam_search:
        raise RequestError("use_beam_search is not emulated: leave it out", param="use_beam_search")
    if asked.logprobs is not None and asked.logprobs is not False:
        raise RequestError("logprobs are not emulated: leave the field out", param="logprobs")
    if asked.prompt_logprobs is not None:
        raise RequestError("prompt_logprobs are not emulated: leave the field out", param="prompt_logprobs")
    if asked.stream_options is not None and not asked.stream:
        raise RequestError("stream_options can only be set with stream true", param="stream_options")


def _prompt_tokens(prompt: object) -> int:
    """A text, a list of token ids, or a list with one of them."""
    if isinstance(prompt, list) and prompt and not _are_ids(prompt):
        if len(prompt) > 1:
            raise RequestError(f"prompt holds {len(prompt)} prompts; one prompt a request is emulated", param="prompt")
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return text_tokens(prompt)
    if isinstance(prompt, list) and prompt and _are_ids(prompt):
        return len(prompt)
    raise RequestError("prompt must be a text or a list of token ids, and not empty", param="prompt")


def _are_ids(values: Sequence[object]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _content(message: Message, where: str) -> str:
    """The text of a message: its content, or the text parts of it."""
    content = message.content
    if content is None:
        return message.role
    if isinstance(content, str):
        return message.role + content
    if isinstance(content, list):
        return message.role + "".join(_part(part, f"{where}[{index}]") for index, part in enumerate(content))
    raise RequestError(f"{where}: must be a text or a list of parts", param=where)


def _part(part: object, where: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.get("type") in {"text", "input_text", "refusal"}:
        text = part.get("text", part.get("refusal"))
        if isinstance(text, str):
            return text
        raise RequestError(f"{where}: a part of text needs its text", param=where)
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise RequestError(f"{where}: parts of type {str(kind)[:40]!r} are not emulated, only text", param=where)


def _work(asked: Common, prompt_tokens: int, max_tokens: int, max_model_len_tokens: int, param: str) -> Work:
    if prompt_tokens >= max_model_len_tokens:
        raise RequestError(
            f"This model's maximum context length is {max_model_len_tokens} tokens. However, your request has"
            f" {prompt_tokens} input tokens. Please reduce the length of the input.",
            param="prompt" if isinstance(asked, CompletionBody) else "messages",
        )
    if max_tokens < 1:
        raise RequestError(f"{param} must be at least 1, got {max_tokens}.", param=param)
    if prompt_tokens + max_tokens > max_model_len_tokens:
        raise RequestError(
            f"{param} is too large: {max_tokens}. This model's maximum context length is {max_model_len_tokens} tokens"
            f" and your request has {prompt_tokens} input tokens"
            f" ({max_tokens} > {max_model_len_tokens} - {prompt_tokens}).",
            param=param,
        )
    min_tokens = asked.min_tokens or 0
    if not 0 <= min_tokens <= max_tokens:
        raise RequestError(
            f"min_tokens must be from 0 to {param} ({max_tokens}), got {min_tokens}.", param="min_tokens"
        )
    options = asked.stream_options or StreamOptions()
    return Work(
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        ignore_eos=bool(asked.ignore_eos),
        seed=asked.seed,
        stream=bool(asked.stream),
        usage_at_end=bool(options.include_usage),
        usage_always=bool(options.include_usage and options.continuous_usage_stats),
    )
