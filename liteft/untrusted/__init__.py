"""Files that somebody else may have written: read within bounds, and checked before a library gets to see them.

`reading` opens regular files and nothing else and parses JSON of bounded size and depth; `tokenizer` holds a
tokenizer.json to what the tokenizers library is known to survive, with `patterns` for regular expressions and
`charsmap` for the compiled normalization maps of sentencepiece. What is refused here is refused with an exception that
can be caught; a library written in Rust or C++ may end the process instead.
"""

from liteft.errors import option
from liteft.untrusted.reading import MOST_JSON, parse_json, plain_text, read_bytes, regular_size, sha256_of

__all__ = ["MOST_JSON", "TRUST", "parse_json", "plain_text", "read_bytes", "regular_size", "sha256_of"]

TRUST = option("trust", note=", for a file from somebody whose programs you would run")
"""What to try where a file may be harmless all the same."""
