"""One emulated vLLM server: the OpenAI API over the replica model, the metrics page, and the switch for its faults.

Routes, statuses and shapes are vLLM's (vllm/entrypoints/openai); the tokens come when the model says so.
"""

import asyncio
import random

from aiohttp import web

from inflight.lab.emulator import answers
from inflight.lab.emulator.admin import add_admin
from inflight.lab.emulator.engine import Engines, Ticket
from inflight.lab.emulator.families import RELEASE
from inflight.lab.emulator.faults import Faults
from inflight.lab.emulator.filler import words
from inflight.lab.emulator.http_use import HttpUse
from inflight.lab.emulator.middleware import CLOCK, HTTP_USE, MIDDLEWARES, MODEL_KEY
from inflight.lab.emulator.page import VllmPage
from inflight.lab.emulator.process import own_process
from inflight.lab.emulator.requests import RequestError, Work, read_chat, read_completion
from inflight.lab.emulator.settings import ServerSettings
from inflight.sources.clock import ScaledClock

# A prompt of 131,072 token ids, seven bytes each, takes 0.9 MB.
MAX_BODY_BYTES = 4 << 20
BODY_SECONDS = 30


class EmulatedServer:
    """The engines of one server and what it answers. Made when the model has loaded; `run` keeps it going."""

    def __init__(self, settings: ServerSettings, clock: ScaledClock, started_at: float) -> None:
        """`started_at` is when its process began, on the same clock (Unix seconds)."""
        self.settings = settings
        self.engines = Engines([settings.engine] * settings.engines, clock)
        self.faults = Faults()
        self.draining = False
        self._clock = clock
        self._ready_at = clock.now()
        self._http = HttpUse(self._ready_at)
        self._page = VllmPage(
            settings.name, [settings.engine] * settings.engines, started_at=started_at, ready_at=self._ready_at
        )
        self._random = random.Random(settings.seed)

    async def run(self) -> None:
        """Keep the engines at the clock's time until cancelled."""
        await self.engines.run()

    def page(self) -> bytes:
        """The metrics page of now."""
        self.engines.advance()
        return self._page.render(self.engines.replicas, own_process(self._core_seconds()), self._http.render())

    def application(self) -> web.Application:
        app = web.Application(middlewares=MIDDLEWARES, client_max_size=MAX_BODY_BYTES)
        app[HTTP_USE] = self._http
        app[CLOCK] = self._clock
        app[MODEL_KEY] = self.settings.api_key
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_route("*", "/ping", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        add_admin(app, self.faults, self.page, remote=self.settings.remote_admin)
        return app

    def _core_seconds(self) -> float:
        """Of the server's process, as the model of a serving pod's CPU has it."""
        stats = [replica.stats for replica in self.engines.replicas]
        return self.settings.cpu.serving_core_seconds(
            self._clock.now() - self._ready_at,
            self.engines.busy_seconds,
            sum(one.prompt_tokens for one in stats),
            sum(one.generation_tokens for one in stats),
        )

    async def _models(self, _: web.Request) -> web.Response:
        limit = self.settings.engine.max_model_len_tokens
        return _json(answers.models(self.settings.name, int(self._clock.now()), limit))

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=503 if self.draining else 200)

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": RELEASE})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return await self.faults.answer(request, self.page())

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        return await self._generate(request, read_completion(body, *self._limits()), chat=False)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await _body(request)
        return await self._generate(request, read_chat(body, *self._limits()), chat=True)

    def _limits(self) -> tuple[str, int]:
        return self.settings.name, self.settings.engine.max_model_len_tokens

    async def _generate(self, request: web.Request, work: Work, *, chat: bool) -> web.StreamResponse:
        if self.draining:
            raise RequestError("the server is shutting down", status=503, kind="ServiceUnavailableError")
        key = self._random.getrandbits(128)
        prefix = "chatcmpl" if chat else "cmpl"
        answer = answers.Answer(chat, f"{prefix}-{key:032x}", self.settings.name, int(self._clock.now()))
        # With a seed of its own, a request is answered the same again, as a sampler would.
        generator = random.Random(key if work.seed is None else f"{self.settings.seed}/{work.seed}")
        output = self._output_tokens(work, generator)
        ticket = self.engines.submit(work.prompt_tokens, output, work.max_tokens, stream=work.stream)
        try:
            return await _Reply(request, work, answer, ticket, generator.getrandbits(32)).send()
        finally:
            self.engines.abort(ticket)

    def _output_tokens(self, work: Work, generator: random.Random) -> int:
        if work.ignore_eos:
            return work.max_tokens
        drawn = max(work.min_tokens, self.settings.answer_lengths.draw(generator))
        return min(drawn, work.max_tokens)


class _Reply:
    """The answer to one request while its tokens come."""

    def __init__(self, request: web.Request, work: Work, answer: answers.Answer, ticket: Ticket, text_key: int) -> None:
        self._request = request
        self._work = work
        self._answer = answer
        self._ticket = ticket
        self._text_key = text_key

    async def send(self) -> web.StreamResponse:
        if self._work.stream:
            return await self._stream()
        ticket = self._ticket
        while ticket.reason is None:
            await ticket.moved()
        text = words(self._text_key, 0, ticket.tokens)
        return _json(self._answer.whole(text, ticket.reason, answers.usage(self._work.prompt_tokens, ticket.tokens)))

    async def _stream(self) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        )
        try:
            await response.prepare(self._request)
            sent, ended = 0, False
            while not ended:
                await self._ticket.moved()
                tokens, ended = self._ticket.tokens, self._ticket.reason is not None
                await response.write(self._events(sent, tokens))
                sent = tokens
            await response.write_eof()
        except ConnectionResetError:
            # The client has gone; the caller takes the request out of the engine.
            return response
        return response

    def _events(self, sent: int, tokens: int) -> bytes:
        """The tokens from `sent` on as one event, with what stands before the first and behind the last."""
        work, answer, reason = self._work, self._answer, self._ticket.reason
        spent = answers.usage(work.prompt_tokens, tokens)
        running_usage = spent if work.usage_always else None
        with_usage = work.usage_at_end
        data = b""
        if sent == 0 and answer.chat:
            data = answer.opening(
                answers.usage(work.prompt_tokens, 0) if work.usage_always else None, with_usage=with_usage
            )
        data += answer.chunk(words(self._text_key, sent, tokens), reason, running_usage, with_usage=with_usage)
        if reason is not None:
            if work.usage_at_end:
                data += answer.closing_usage(spent)
            data += answers.DONE
        return data


async def _body(request: web.Request) -> bytes:
    """The request's body. Raises RequestError; a body above the limit is refused by the framework."""
    if request.content_type != "application/json":
        raise RequestError("Unsupported Media Type: Only 'application/json' is allowed")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError as error:
        raise RequestError(f"the body did not come within {BODY_SECONDS} s", status=408, kind="Timeout") from error


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
