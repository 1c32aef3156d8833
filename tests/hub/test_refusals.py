"""Everything that a hub may answer becomes an error that says what was seen, what is accepted and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import liteft
from liteft.artifact import Artifact
from liteft.errors import HubError
from tests.modules import module_of

stub = module_of("hub", "stub.py")
LOGIN = "hf auth login, or HF_TOKEN in the environment, with a token that may "


def refusal(call: Any) -> HubError:
    """Return the error that a call ends in."""
    with pytest.raises(HubError) as refused:
        call()
    return refused.value


def load() -> None:
    liteft.load("acme/reviews").close()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be logged in as somebody who may not see private models."""
    monkeypatch.setenv("HF_TOKEN", "hf_reader")


def test_a_repository_that_does_not_exist(hub: Any) -> None:
    error = refusal(load)
    assert error.message == (
        "acme/reviews: there is no such folder here, and the hub has no such model, or none that this login may see."
    )
    assert error.fix == ("check the spelling", f"{LOGIN}read it")


def test_a_private_repository_without_a_login(hub: Any, pushed: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "none that this login may see" in refusal(load).message


def test_a_private_repository_of_others(hub: Any, pushed: Artifact, reader: None) -> None:
    assert "none that this login may see" in refusal(load).message


def test_a_token_that_is_not_valid(hub: Any, pushed: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    error = refusal(load)
    assert error.message == "the hub wants a valid login to read acme/reviews."
    assert error.accepted == {"answer": "401 Invalid credentials in Authorization header"}


def test_a_gated_repository(hub: Any, pushed: Artifact, reader: None) -> None:
    repo = hub.repos["acme/reviews"]
    repo.private, repo.gated = False, True
    error = refusal(load)
    assert error.message == "acme/reviews is gated: only logins that its owner has let in may read it."
    assert error.fix[0] == f"ask for it at {hub.url}/acme/reviews"


def test_a_revision_that_does_not_exist(hub: Any, pushed: Artifact) -> None:
    error = refusal(lambda: liteft.load("acme/reviews", revision="v9"))
    assert error.message == "acme/reviews has no revision 'v9'."
    assert error.accepted == {"a revision": "a branch, a tag or a commit of it"}


def test_a_repository_that_was_renamed_is_loaded_with_a_warning(hub: Any, pushed: Artifact) -> None:
    hub.renamed["acme/reviews"] = "acme/opinions"
    hub.repos["acme/opinions"] = hub.repos.pop("acme/reviews")
    with pytest.warns(UserWarning, match="acme/reviews is now acme/opinions on the hub"):
        load()


def test_a_push_to_a_repository_that_was_renamed_is_refused(hub: Any, pushed: Artifact) -> None:
    hub.renamed["acme/reviews"] = "acme/opinions"
    repo = hub.repos["acme/opinions"] = hub.repos.pop("acme/reviews")
    error = refusal(lambda: pushed.push_to_hub("acme/reviews", license="mit"))
    assert error.message == "acme/reviews was renamed to acme/opinions."
    assert error.fix == ("push to acme/opinions",)
    assert len(repo.commits) == 2 and "acme/reviews" not in hub.repos


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "this login may not read acme/reviews"),
        (429, "the hub wants fewer requests from this login"),
        (500, "failed: it answers with status 500"),
        (503, "failed: it answers with status 503"),
        (418, "the hub refused to let acme/reviews be read"),
    ],
)
def test_an_answer_to_a_load_by_its_status(hub: Any, pushed: Artifact, status: int, text: str) -> None:
    hub.faults.append(stub.Fault("/api/models/acme/reviews", status=status, times=99))
    error = refusal(load)
    assert text in error.message
    assert error.accepted["answer"].startswith(str(status)) and error.fix


def test_a_hub_that_does_not_answer_in_time(hub: Any, pushed: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    hub.faults.append(stub.Fault("/api/models/acme/reviews", seconds=0.6))
    error = refusal(load)
    assert error.message.startswith("acme/reviews cannot be read: there is no such folder here, ")
    assert error.message.endswith(f"{hub.url} did not answer in time.")
    assert error.fix[0] == "check the network, and HF_ENDPOINT where it is set"


def test_a_hub_that_cannot_be_reached(hub: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    seen = "acme/reviews cannot be read: there is no such folder here, and http://127.0.0.1:9 cannot be reached."
    assert refusal(load).message == seen
    error = refusal(lambda: artifact.push_to_hub("acme/reviews", license="mit"))
    assert error.message == "acme/reviews cannot be written: http://127.0.0.1:9 cannot be reached."


def test_a_push_without_a_login(hub: Any, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    error = refusal(lambda: artifact.push_to_hub("acme/reviews", license="mit"))
    assert error.message == "the hub wants a valid login to write acme/reviews."
    assert error.fix == (f"{LOGIN}write it",)


def test_a_push_into_an_organization_of_others(hub: Any, artifact: Artifact) -> None:
    error = refusal(lambda: artifact.push_to_hub("others/reviews", license="mit"))
    assert error.message == "this login may not write others/reviews."
    assert error.accepted == {"answer": "403 you are not in this organization"}


@pytest.mark.parametrize(("path", "status", "text"), [
    ("/commit/main", 412, "was changed by somebody else meanwhile"),
    ("/commit/main", 500, "failed: it answers with status 500"),
    ("/preupload/main", 403, "this login may not write"),
    ("/stored/", 403, "this login may not write"),
])  # fmt: skip
def test_a_push_that_fails_makes_no_commit(hub: Any, artifact: Artifact, path: str, status: int, text: str) -> None:
    hub.faults.append(stub.Fault(path, status=status, times=99))
    error = refusal(lambda: artifact.push_to_hub("acme/reviews", license="mit"))
    assert text in error.message
    assert set(hub.repos["acme/reviews"].files()) == {".gitattributes"}


def test_metadata_that_the_hub_refuses(hub: Any, artifact: Artifact) -> None:
    hub.faults.append(
        stub.Fault("/api/validate-yaml", status=400, body=b'{"errors": [{"message": "unknown license"}]}')
    )
    error = refusal(lambda: artifact.push_to_hub("acme/reviews", license="mit"))
    assert error.message == "the hub refused to let acme/reviews be written."
    assert error.accepted == {"answer": "400 Invalid metadata in README.md. - unknown license"}


def test_a_repository_that_is_gone_is_an_error_though_it_was_downloaded(hub: Any, pushed: Artifact) -> None:
    load()
    commit = hub.repos.pop("acme/reviews").branches["main"]
    assert "the hub has no such model" in refusal(load).message
    liteft.load("acme/reviews", revision=commit).close()


def test_a_cache_that_cannot_be_written(
    hub: Any, pushed: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as constants

    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    error = refusal(load)
    assert error.message == f"acme/reviews cannot be kept in {tmp_path / 'file' / 'cache'}: Not a directory."
    assert error.fix == ("free some space there", "another folder in HF_HUB_CACHE")
