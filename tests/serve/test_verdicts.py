"""What is written about answers: what changed, and no flood of it."""

import logging

import pytest

from inflight.serve.api.verdicts import LINES_PER_MINUTE, REMEMBERED, VerdictLog


class Clock:
    time = 1000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> VerdictLog:
    caplog.set_level(logging.INFO)
    return VerdictLog(clock.now)


def test_only_a_change_is_news(log: VerdictLog, caplog: pytest.LogCaptureFixture) -> None:
    for seen in (3, 3, 4):
        log.note("ns m", "complete", f"{seen} of {seen} pods")
    log.note("ns m", "pods_unseen", "one is silent")
    assert [line.split(" why=")[0] for line in caplog.messages] == [
        "event=answer_changed question='ns m' state=complete before=none",
        "event=answer_changed question='ns m' state=pods_unseen before=complete",
    ]


def test_more_questions_than_are_remembered_are_no_flood(
    log: VerdictLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of them asked every 15 s, for ten minutes."""
    questions = REMEMBERED + 500
    for round_number in range(40):
        clock.time = 1000.0 + 15 * round_number
        for number in range(questions):
            log.note(f"ns m{number}", "complete", "1 of 1 pods")
    said = [line for line in caplog.messages if "event=answer_changed" in line]
    left_out = [line for line in caplog.messages if "event=answers_not_logged" in line]
    assert len(said) == 10 * LINES_PER_MINUTE
    assert (
        left_out
        == [f"event=answers_not_logged left_out={4 * questions - LINES_PER_MINUTE} lines_per_minute={LINES_PER_MINUTE}"]
        * 9
    )
    assert len(log._states) == REMEMBERED


def test_a_clock_that_is_set_back_does_not_silence_it(
    log: VerdictLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(2 * LINES_PER_MINUTE):
        log.note(f"ns m{number}", "complete", "")
    clock.time = 5.0
    log.note("ns other", "complete", "")
    assert f"left_out={LINES_PER_MINUTE} " in caplog.text
    assert "ns other" in caplog.messages[-1]
