"""The `openai` client library talks to an emulated server over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

Start = Callable[..., AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def client_of(running: Any, key: str = "unused") -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=running.api, api_key=key, max_retries=0, timeout=20) as client:
        yield client


HELLO: Any = [{"role": "user", "content": "hello"}]


async def test_models_are_listed(emulated: Start) -> None:
    async with emulated(model_name="served") as running, client_of(running) as client:
        models = await client.models.list()
        assert [model.id for model in models.data] == ["served"]
        assert models.data[0].model_dump()["max_model_len"] == 2000


async def test_a_completion_in_one_piece(emulated: Start) -> None:
    async with emulated() as running, client_of(running) as client:
        answer = await client.completions.create(
            model="small/model", prompt=[1] * 33, max_tokens=20, extra_body={"ignore_eos": True}
        )
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (33, 20, 53)
        assert answer.choices[0].finish_reason == "length"
        assert len(answer.choices[0].text.split()) == 20
        stats = running.server.engines.replicas[0].stats
        assert (stats.prompt_tokens, stats.generation_tokens) == (33, 20)


async def test_a_chat_in_one_piece(emulated: Start) -> None:
    async with emulated() as running, client_of(running) as client:
        answer = await client.chat.completions.create(model="small/model", messages=HELLO, max_completion_tokens=12)
        assert answer.choices[0].message.role == "assistant"
        assert answer.usage is not None
        assert answer.usage.completion_tokens <= 12
        assert answer.choices[0].message.content is not None
        assert len(answer.choices[0].message.content.split()) == answer.usage.completion_tokens


async def test_a_streamed_chat_says_the_same_as_one_in_one_piece(emulated: Start) -> None:
    async with emulated(speed=2.0) as running, client_of(running) as client:
        whole = await client.chat.completions.create(model="small/model", messages=HELLO, max_tokens=60, seed=7)
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="small/model",
                messages=HELLO,
                max_tokens=60,
                seed=7,
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
        assert chunks[0].choices[0].delta.role == "assistant"
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == whole.choices[0].message.content
        assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
        assert reasons[-1] == whole.choices[0].finish_reason
        assert set(reasons[:-1]) == {None}


async def test_a_streamed_completion_without_usage(emulated: Start) -> None:
    async with emulated() as running, client_of(running) as client:
        stream = await client.completions.create(
            model="small/model", prompt="go", max_tokens=30, stream=True, extra_body={"ignore_eos": True}
        )
        chunks = [chunk async for chunk in stream]
        assert len("".join(chunk.choices[0].text for chunk in chunks).split()) == 30
        assert {chunk.usage for chunk in chunks} == {None}
        assert chunks[-1].choices[0].finish_reason == "length"


async def test_usage_may_come_with_every_chunk(emulated: Start) -> None:
    async with emulated(speed=2.0) as running, client_of(running) as client:
        options: Any = {"include_usage": True, "continuous_usage_stats": True}
        stream = await client.completions.create(
            model="small/model",
            prompt="go",
            max_tokens=40,
            stream=True,
            stream_options=options,
            extra_body={"min_tokens": 40},
        )
        counts = [chunk.usage.completion_tokens async for chunk in stream if chunk.usage is not None]
        assert counts == sorted(counts)
        assert counts[-2:] == [40, 40]


async def test_answers_end_by_themselves_and_the_same_again_for_the_same_seed(emulated: Start) -> None:
    lengths = []
    for _ in range(2):
        async with emulated(seed=5, speed=100.0) as running, client_of(running) as client:
            answers = [
                await client.completions.create(model="small/model", prompt="go", max_tokens=1900) for _ in range(4)
            ]
            lengths.append([answer.usage.completion_tokens for answer in answers if answer.usage])
            assert {answer.choices[0].finish_reason for answer in answers} == {"stop"}
    assert lengths[0] == lengths[1]
    assert len(set(lengths[0])) > 1


async def test_many_at_once_share_the_batch_and_the_rest_waits(emulated: Start) -> None:
    async with emulated(speed=1.0) as running, client_of(running) as client:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    client.completions.create(
                        model="small/model", prompt=[1] * 50, max_tokens=500, extra_body={"ignore_eos": True}
                    )
                )
                for _ in range(20)
            ]
            replica = running.server.engines.replicas[0]
            await running.until(lambda: (replica.running, replica.waiting) == (8, 12))
            running.clock.set_speed(500.0)
        assert [task.result().usage.completion_tokens for task in tasks] == [500] * 20
        running.server.engines.advance()
        assert replica.stats.request_queue_time_seconds.count == 20
        assert replica.stats.request_queue_time_seconds.sum > 0
        assert running.server.engines.in_flight == 0


async def test_two_engines_share_the_requests(emulated: Start) -> None:
    async with emulated(engines=2, speed=1.0) as running, client_of(running) as client:
        async with asyncio.TaskGroup() as group:
            for _ in range(6):
                fields: Any = {"prompt": "go", "max_tokens": 900, "extra_body": {"ignore_eos": True}}
                group.create_task(client.completions.create(model="small/model", **fields))
            await running.until(lambda: [one.running for one in running.server.engines.replicas] == [3, 3])
            running.clock.set_speed(500.0)
        running.server.engines.advance()
        finished = [sum(one.stats.request_success.values()) for one in running.server.engines.replicas]
        assert finished == [3, 3]


async def test_a_client_that_leaves_takes_its_request_out(emulated: Start) -> None:
    async with emulated(speed=1.0) as running, client_of(running) as client:
        stream = await client.completions.create(
            model="small/model", prompt="go", max_tokens=1900, stream=True, extra_body={"ignore_eos": True}
        )
        async for _ in stream:
            break
        assert running.server.engines.in_flight == 1
        await stream.close()
        await running.until(lambda: running.server.engines.in_flight == 0)
        whole = asyncio.create_task(
            client.completions.create(
                model="small/model", prompt="go", max_tokens=1900, extra_body={"ignore_eos": True}
            )
        )
        await running.until(lambda: running.server.engines.in_flight == 1)
        whole.cancel()
        await running.until(lambda: running.server.engines.in_flight == 0)
        # As in the engine, they count nowhere as finished, and the gauges fall back to 0.
        await running.until(
            lambda: b'vllm:num_requests_running{engine="0",model_name="small/model"} 0.0' in running.server.page()
        )
        stats = running.server.engines.replicas[0].stats
        assert sum(stats.request_success.values()) == 0
        assert stats.generation_tokens > 0


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"model": "other"}, openai.NotFoundError, "model"),
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"max_tokens": 5000}, openai.BadRequestError, "max_tokens"),
        ({"prompt": [1] * 2000}, openai.BadRequestError, "prompt"),
    ],
)
async def test_errors_are_the_clients_own(emulated: Start, fields: Any, error: Any, param: str) -> None:
    async with emulated() as running, client_of(running) as client:
        with pytest.raises(error) as caught:
            await client.completions.create(**{"model": "small/model", "prompt": "go", **fields})
        assert caught.value.param == param
        assert running.server.engines.in_flight == 0


async def test_a_key_is_asked_for_on_the_api_and_nowhere_else(emulated: Start) -> None:
    async with emulated(api_key="s3cret") as running:
        async with client_of(running, key="s3cret") as client:
            assert (await client.models.list()).data
        async with client_of(running, key="wrong") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(model="small/model", messages=HELLO)
            assert "s3cret" not in str(caught.value)
        assert "s3cret" not in repr(running.server.settings)
