"""How long prompts and answers are, in tokens, where there is no tokenizer and no model.

Prompts: four characters are a token, the rule of thumb for English text with the tokenizers in use; a list of token ids
counts exactly. Answers: log-normal, so many are short and few are very long; the defaults are the median and the mean
of Azure's public conversation trace of 2023 (129 and 211 tokens).
"""

import math
import random
from collections.abc import Sequence

import msgspec

CHARACTERS_PER_TOKEN = 4
# What a chat template adds: the header and the end mark of each message, and the header of the answer to come.
TOKENS_PER_MESSAGE = 5
TOKENS_PER_CHAT = 5


def text_tokens(text: str) -> int:
    """Tokens of a plain text; at least 1, because every tokenizer puts a mark at the beginning."""
    return max(1, math.ceil(len(text) / CHARACTERS_PER_TOKEN))


def chat_tokens(contents: Sequence[str]) -> int:
    """Tokens of a chat: each message's role and content under the template's marks."""
    return TOKENS_PER_CHAT + sum(
        TOKENS_PER_MESSAGE + math.ceil(len(content) / CHARACTERS_PER_TOKEN) for content in contents
    )


class AnswerLengths(msgspec.Struct, frozen=True):
    """A log-normal distribution of answer lengths by its median and mean, in tokens."""

    median_tokens: float = 129.0
    mean_tokens: float = 211.0

    def __post_init__(self) -> None:
        if not 1 <= self.median_tokens <= self.mean_tokens < math.inf:
            raise ValueError(
                f"the median of the answer lengths ({self.median_tokens:g}) must be at least 1"
                f" and at most their mean ({self.mean_tokens:g})"
            )

    def draw(self, generator: random.Random) -> int:
        """One length, at least 1."""
        sigma = math.sqrt(2 * math.log(self.mean_tokens / self.median_tokens))
        return max(1, round(generator.lognormvariate(math.log(self.median_tokens), sigma)))
