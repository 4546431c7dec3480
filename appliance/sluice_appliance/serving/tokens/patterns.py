"""Regular expressions of tokens, in time linear in the URI whatever the expression (RE2).

Python's own `re` may take exponential time, and an expression comes from outside. What RE2 does not
know (back-references, repetitions over 1,000) is refused when the token is first seen.
"""

from functools import lru_cache
from typing import Protocol

import re2

PATTERN_BYTES_MAX = 512
# Of one compiled expression; beyond it RE2 refuses to compile.
_MEMORY_BYTES_MAX = 256 * 1024
# The tokens of a film's viewers say the same: so many expressions are held once for all of them.
_SHARED = 1024


class PatternRefused(ValueError):
    """The expression is too long, too large or none."""


class Pattern(Protocol):
    """A compiled expression."""

    def fullmatch(self, text: bytes) -> object | None: ...


@lru_cache(_SHARED)
def compile_pattern(text: str) -> Pattern:
    """A POSIX extended regular expression over bytes. Raises PatternRefused."""
    pattern = text.encode()
    if len(pattern) > PATTERN_BYTES_MAX:
        raise PatternRefused(f"a pattern of {len(pattern)} bytes, at most {PATTERN_BYTES_MAX}")
    options = re2.Options()
    options.posix_syntax = True
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY_BYTES_MAX
    options.log_errors = False
    options.never_capture = True
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        raise PatternRefused(f"the pattern is not understood: {error}") from None
    return compiled
