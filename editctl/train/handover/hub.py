"""To the Hugging Face hub, before training (is the name good, is there a token?) and after it."""

import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Any

from editctl.errors import EditctlError, UsageError
from editctl.models import ADAPTER_FILE, RUN_FILE
from editctl.slots import SLOTS, found_in
from editctl.train.handover.public import bare, public_name, without_paths

BELONGS = (
    "README.md",
    RUN_FILE,
    ADAPTER_FILE,
    "adapter_model*.safetensors",
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)
"""Files of a run folder that others can use; checkpoints, manifests, trackers' files and a merged copy stay here."""
_NAMES = ("base_model_name_or_path", "_name_or_path", "name_or_path")
"""Keys of configurations that may hold a path of this machine."""
_LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token with write rights"


class HubError(EditctlError):
    """The hub did not take what was sent; nothing local is lost."""


def check_push(repo: str, *, token: str | None = None) -> str:
    """Find out before training whether there can be a push; returns the repository's full name.

    Raises:
        UsageError: a name the hub would not take, no token, or one without write rights.
        HubError: a hub that can't be reached or refuses the token.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(
            f"--push-to-hub {bare(repo)}: is no repository name ({bare(error)}); use OWNER/NAME"
        ) from error
    secret = token or get_token()
    if not secret:
        raise UsageError(f"--push-to-hub {repo}: there is no token; {_LOGIN}")
    with _hub_errors(repo, secret, None):
        who = HfApi().whoami(token=secret)
    return _full_name(repo, who)


def _full_name(repo: str, who: dict[str, Any]) -> str:
    user = str(who.get("name", ""))
    kind = ((who.get("auth") or {}).get("accessToken") or {}).get("role")
    if kind == "read":
        raise UsageError(f"--push-to-hub {repo}: the token of {bare(user)} may only read; {_LOGIN}")
    if "/" not in repo:
        return f"{user}/{repo}"
    owners = [user, *(str(one.get("name")) for one in who.get("orgs") or ())]
    # What a fine-grained token may write to does not show here: the hub will say.
    if repo.partition("/")[0].lower() not in map(str.lower, owners) and kind != "fineGrained":
        names = ", ".join(bare(one) for one in owners)
        raise UsageError(f"--push-to-hub {repo}: the token is for {names} and can't write there; name one of these")
    return repo


def push(folder: str | Path, repo: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload a run folder, and nothing else that lies in it; returns the repository's address.

    The repository is made where there is none; files there that are not sent now stay. Paths of this machine are cut
    out of the JSON files that go.

    Raises:
        UsageError: a folder that is no run, or what `check_push` finds.
        HubError: the upload failed; says what to do.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.utils.tqdm import disable_progress_bars

    place = Path(folder)
    if not (place / RUN_FILE).is_file():
        raise UsageError(f"{place}: is no run folder of editctl (no {RUN_FILE}), so it is not pushed")
    operations = list(_operations(place))
    name = check_push(repo, token=token)
    if not sys.stderr.isatty():
        disable_progress_bars()
    secret = token or get_token()
    with _hub_errors(repo, secret, place), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warnings while validating metadata")
        warnings.filterwarnings("ignore", message="Use 'content=", category=DeprecationWarning)  # between two libraries
        api = HfApi(token=secret)
        api.create_repo(name, private=private, exist_ok=True)
        api.create_commit(name, operations, commit_message="Upload a student trained by editctl")
    return f"{api.endpoint}/{name}"


def files_of(folder: Path) -> list[Path]:
    """The files of a run folder that belong on the hub, those of its slots included."""
    places = [folder, *(folder / SLOTS / name for name in found_in(folder))]
    wanted = [place / pattern for place in places for pattern in BELONGS]
    found = {path for path in folder.rglob("*") if path.is_file() and any(_fits(path, one) for one in wanted)}
    return sorted(found.union(*map(_own_code, places)))


def _fits(path: Path, pattern: Path) -> bool:
    """A `*` reaches no deeper than its folder."""
    return path.parent == pattern.parent and fnmatch(path.name, pattern.name)


def _own_code(folder: Path) -> Iterator[Path]:
    """Python files that a model's configuration refers to."""
    config = folder / "config.json"
    if config.is_file() and "auto_map" in json.loads(config.read_text(encoding="utf-8")):
        yield from folder.glob("*.py")


def _operations(folder: Path) -> Iterator[Any]:
    from huggingface_hub import CommitOperationAdd

    for path in files_of(folder):
        text = _published(path)
        content = str(path) if text is None else text.encode("utf-8")
        yield CommitOperationAdd(path_in_repo=path.relative_to(folder).as_posix(), path_or_fileobj=content)


def _published(path: Path) -> str | None:
    """A file's text as it may be seen by all, where that is another one; None sends the file as it is."""
    if path.suffix != ".json" or path.name in ("tokenizer.json", "vocab.json", "model.safetensors.index.json"):
        return None
    value = json.loads(path.read_text(encoding="utf-8"))
    if path.name == RUN_FILE:
        clean = without_paths(value)
    elif isinstance(value, dict):
        clean = {**value, **{key: public_name(value[key]) for key in _NAMES if isinstance(value.get(key), str)}}
    else:
        return None
    return None if clean == value else json.dumps(clean, ensure_ascii=False, indent=2) + "\n"


class _hub_errors(contextlib.AbstractContextManager[None]):
    """Turn what the hub, its library and the network can say into one line that says what to do."""

    def __init__(self, repo: str, secret: str | None, folder: Path | None) -> None:
        self.repo = repo
        self.secret = secret
        self.folder = folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import httpx

        if isinstance(error, httpx.HTTPError | OSError | ValueError | RuntimeError):
            words = _advice(error)
            said = words.replace(self.secret, "(secret)") if self.secret else words
            # No chain: the library's own errors hold whole requests.
            raise HubError(f"push to {self.repo}: {said}{self._comfort()}") from None

    def _comfort(self) -> str:
        if self.folder is None:
            return ""
        again = f'from editctl.train.handover.hub import push; push("{self.folder}", "{self.repo}")'
        return f"; nothing is lost: the run is whole in {self.folder}; push it again with: python -c '{again}'"


def _advice(error: BaseException) -> str:
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    if isinstance(cause, HfHubHTTPError | httpx.HTTPStatusError) and cause.response is not None:
        return _refusal(cause.response.status_code, bare(getattr(cause, "server_message", None) or ""))
    if isinstance(cause, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, so nothing is sent; unset it"
    if isinstance(cause, httpx.HTTPError | ConnectionError | TimeoutError):
        return f"the hub can't be reached ({type(cause).__name__}); check the network, HTTPS_PROXY and HF_ENDPOINT"
    return f"the upload failed: {bare(cause)}"


def _refusal(status: int, message: str) -> str:
    said = f": {message}" if message else ""
    known = {
        401: f"the hub does not accept the token (401); {_LOGIN}",
        403: f"the token may not write there (403{said}); use one with write rights, or a repository of your own",
        404: "there is no such owner or repository, or the token can't see it (404); check the name and the token",
        413: f"the hub takes no files of this size (413{said})",
        429: "the hub has had too many requests (429); wait some minutes",
    }
    if status >= 500:
        return f"the hub has trouble of its own ({status}); try again later"
    return known.get(status, f"the hub refuses it ({status}{said})")
