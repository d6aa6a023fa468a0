"""Fetches the files of a dataset repository, or finds them in the hub library's cache; says clearly why not."""

import sys
from collections.abc import Sequence
from pathlib import Path

from editctl.errors import EditctlError

PATIENCE = 10.0
"""Seconds the hub has for its first answer."""


class HubError(EditctlError):
    """The hub's copy is not to be had."""

    exit_code = 2


def fetch(repository: str, patterns: Sequence[str], revision: str | None) -> Path:
    """The folder that holds a dataset repository's files of these patterns; its name is the commit.

    Where the hub does not answer, what lies in the hub library's cache counts.

    Raises:
        HubError: no such repository or revision, no access, no network and nothing in the cache.
    """
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    fault = fault_of(repository, revision)
    try:
        folder = snapshot_download(
            repository,
            repo_type="dataset",
            revision=revision,  # not the commit it stands for, or the cache would not know it by its name
            allow_patterns=list(patterns),
            local_files_only=fault is not None,
        )
    except (httpx.HTTPError, OSError, ValueError) as error:  # ValueError: a revision that is no name
        raise HubError(f"the hub's {repository} is not to be had ({reason_of(fault or error)})") from error
    return Path(folder)


def fault_of(repository: str, revision: str | None) -> BaseException | None:
    """Why the hub does not tell of a repository; asked here, since the library waits for a silent hub without end."""
    import httpx
    from huggingface_hub import HfApi

    try:
        HfApi().dataset_info(repository, revision=revision, timeout=PATIENCE)
    except (httpx.HTTPError, OSError) as error:
        return error
    return None


def reason_of(error: BaseException) -> str:
    """Why a repository is not to be had, in words; for what `fault_of` gives and the hub library raises."""
    import httpx
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set and it is not in the cache"
    # What the library raises for a missing cache entry has the true reason behind it.
    cause = error if isinstance(error, httpx.HTTPError) else error.__cause__ or error
    if isinstance(cause, RevisionNotFoundError):
        return "there is no such revision"
    if isinstance(cause, HfHubHTTPError) and cause.response is not None:
        return _refusal(cause.response.status_code)
    if isinstance(cause, httpx.HTTPError | ConnectionError | TimeoutError):
        return "the hub can't be reached and it is not in the cache; check the network, HTTPS_PROXY and HF_ENDPOINT"
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _refusal(status: int) -> str:
    known = {
        401: "the hub asks for a login, or there is no such repository (401)",
        403: "the token may not read it (403)",
        404: "there is no such repository (404)",
        429: "the hub has had too many requests (429); wait some minutes",
    }
    return known.get(status, f"the hub refuses it ({status})")
