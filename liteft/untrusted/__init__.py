"""Files that someone else may have written: read within bounds, and checked before a library sees them.

`reading` opens only regular files and parses JSON of bounded size and depth; `tokenizer` limits a tokenizer.json to
what the tokenizers library is known to survive, with `components` for its parts, `patterns` for regular expressions and
`charsmap` for the compiled normalization maps of sentencepiece; `pickles` describes what a pickle would make, and
makes nothing of it. A file that is refused here raises an exception that
can be caught; a library written in Rust or C++ may crash the process instead.
"""

from liteft.errors import option
from liteft.untrusted.reading import MOST_JSON, parse_json, plain_text, read_bytes, regular_size, sha256_of

__all__ = ["MOST_JSON", "TRUST", "parse_json", "plain_text", "read_bytes", "regular_size", "sha256_of"]

TRUST = option("trust", note=", for a file from somebody whose programs you would run")
"""What to try where a file may be harmless all the same."""
