"""The shapes of the OpenAI API's answers: whole ones, chunks of a stream, lists and errors."""

from http import HTTPStatus
from typing import Any, Literal

import msgspec

FinishReason = Literal["stop", "length"]


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int
    prompt_tokens_details: None = None


def usage(prompt_tokens: int, completion_tokens: int) -> Usage:
    return Usage(prompt_tokens, prompt_tokens + completion_tokens, completion_tokens)


class Answer(msgspec.Struct, frozen=True):
    """What all answers to one request carry. `created` is Unix time in whole seconds."""

    chat: bool
    id: str
    model: str
    created: int

    def whole(self, text: str, reason: FinishReason, spent: Usage) -> bytes:
        """The answer in one piece."""
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": reason, "stop_reason": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None, "tool_calls": []}
        else:
            choice["text"] = text
        kind = "chat.completion" if self.chat else "text_completion"
        return msgspec.json.encode(self._envelope(kind, [choice]) | {"usage": spent})

    def opening(self, spent: Usage | None, *, with_usage: bool) -> bytes:
        """The first event of a chat's stream: whose turn it is."""
        return self._event({"index": 0, "delta": {"role": "assistant", "content": ""}}, None, spent, with_usage)

    def chunk(self, text: str, reason: FinishReason | None, spent: Usage | None, *, with_usage: bool) -> bytes:
        """One event with the next piece of text, the last with the reason for the end."""
        choice: dict[str, Any] = {"index": 0}
        if self.chat:
            choice["delta"] = {"content": text}
        else:
            choice["text"] = text
        return self._event(choice, reason, spent, with_usage)

    def closing_usage(self, spent: Usage) -> bytes:
        """The event behind the last choice that `stream_options.include_usage` asks for."""
        return _data(self._envelope(self._chunk_kind, []) | {"usage": spent})

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _event(
        self, choice: dict[str, Any], reason: FinishReason | None, spent: Usage | None, with_usage: bool
    ) -> bytes:
        choice |= {"logprobs": None, "finish_reason": reason, "stop_reason": None}
        body = self._envelope(self._chunk_kind, [choice])
        if with_usage:
            body["usage"] = spent
        return _data(body)

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}


DONE = b"data: [DONE]\n\n"


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def error(message: str, status: int, kind: str = "", param: str | None = None) -> bytes:
    """An error as vLLM shapes it; without a kind, the name of the HTTP status."""
    body = {"message": message, "type": kind or HTTPStatus(status).phrase, "param": param, "code": status}
    return msgspec.json.encode({"error": body})


def models(model: str, created: int, max_model_len_tokens: int) -> bytes:
    """The answer of GET /v1/models: the one model of this server."""
    card = {
        "id": model,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": model,
        "parent": None,
        "max_model_len": max_model_len_tokens,
    }
    return msgspec.json.encode({"object": "list", "data": [card]})
