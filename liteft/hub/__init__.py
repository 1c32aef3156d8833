"""Models on the Hugging Face hub: what is pushed to it, and what is fetched from it.

Nothing here knows what an artifact or a run is. They hand over which files they consist of (`Upload`), and read the
list of files that a repository has; `pushing` uploads exactly these files, and `fetching` downloads exactly these into
the hub's own cache. `names` says which words name a repository, `cards` writes the metadata that the hub reads from a
model card, and `refusals` turns what the client and the hub say into errors of LiteFT.

The package `huggingface_hub` is imported only when something is fetched or pushed.
"""

from liteft.hub.cards import CardWords, Described, Measured
from liteft.hub.fetching import fetch
from liteft.hub.names import HubName, hub_name, origin_of
from liteft.hub.pushing import Pushed, PushOptions, Upload, UploadFile, push

__all__ = [
    "CardWords",
    "Described",
    "HubName",
    "Measured",
    "PushOptions",
    "Pushed",
    "Upload",
    "UploadFile",
    "fetch",
    "hub_name",
    "origin_of",
    "push",
]
