"""Download of one file over HTTP: resumed, retried and verified."""

from __future__ import annotations

import errno
import hashlib
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Never, Self
from urllib.parse import urlsplit

from napari_gpcis.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from requests import Response
    from tqdm import tqdm

    Progress = Callable[[int, int], object]

PAUSES = (1.0, 2.0, 4.0)
"""Seconds between attempts; begins anew whenever something came."""
_TIMEOUT = (10, 30)  # seconds: to connect, without a byte
_CHUNK = 1 << 16
_WORTH_RETRYING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RemoteFile:
    """Remote file with known size and SHA-256.

    Parameters
    ----------
    name
        What it is called there.
    urls
        Where it is; the next is tried when one fails.
    size
        Bytes.
    sha256
        Its SHA-256, in hexadecimal.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Return whether `path` is this very file."""
        return stored_size(path) == self.size and file_sha256(path) == self.sha256


def fetch(remote: RemoteFile, target: Path, progress: Progress | None = None) -> None:
    """Download a file; an interrupted download is resumed.

    Until the file is complete and verified it is called ``<target>.part``.

    Parameters
    ----------
    remote
        The file.
    target
        Where it goes; its folder must exist and be used by one process at a time.
    progress
        Called with the number of bytes here and in total. What it raises ends the
        download, which goes on from there another time.

    Raises
    ------
    DownloadError
        If no address gives the file, or it cannot be stored.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        reasons = _complete(remote, part, progress or _ignore)
        if not reasons:
            part.replace(target)
            return
    except OSError as error:
        if error.errno == errno.ENOSPC:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        msg = f"{target} cannot be stored: {error.strerror}"
        raise DownloadError(msg) from error
    msg = (
        f"{remote.name} could not be downloaded: {'; '.join(reasons)}. Without a "
        f"network: get {remote.urls[0]} elsewhere, then run napari-gpcis convert on it"
    )
    raise DownloadError(msg)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stored_size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none."""
    return path.stat().st_size if path.is_file() else 0


class ProgressBar:
    """A progress callback that draws a bar; to be used in a ``with`` statement.

    Nothing is drawn before the first call, nor where there is no terminal.

    Parameters
    ----------
    title
        What is being fetched.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: tqdm[Never] | None = None

    def __enter__(self) -> Self:
        """Return the callback."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are here."""
        if self._bar is None:
            self._bar = self._draw(total)
        self._bar.update(done - self._bar.n)

    def _draw(self, total: int) -> tqdm[Never]:
        """Return the bar (``sys.stderr`` is None in programs without a console)."""
        from tqdm import tqdm

        disable = None if sys.stderr else True
        return tqdm(
            desc=self._title, total=total, unit="B", unit_scale=True, disable=disable
        )


class _RetryableError(Exception):
    """The connection failed; another attempt may succeed."""


class _RefusedError(Exception):
    """The server does not have the file."""


def _ignore(_: int, __: int) -> None:
    """Report nothing."""


def _complete(remote: RemoteFile, part: Path, progress: Progress) -> list[str]:
    """Complete a part; return why that failed, nothing if it did not."""
    urls = list(remote.urls)
    reasons: dict[str, str] = {}
    pauses = iter(PAUSES)
    while True:
        before = stored_size(part)
        for url in tuple(urls):
            try:
                _attempt(url, remote, part, progress)
            except (_RetryableError, _RefusedError) as error:
                reasons[url] = f"{urlsplit(url).netloc or url} {error}"
                if isinstance(error, _RefusedError):
                    urls.remove(url)
            else:
                return []
        if stored_size(part) > before:
            pauses = iter(PAUSES)
        pause = next(pauses, None) if urls else None
        if pause is None:
            return list(reasons.values())
        time.sleep(pause)


def _attempt(url: str, remote: RemoteFile, part: Path, progress: Progress) -> None:
    """Fetch what is missing from one address, and verify the whole."""
    if stored_size(part) < remote.size:
        _receive(url, remote, part, progress)
    if not remote.is_at(part):
        part.unlink()
        msg = f"gave a file with another SHA-256 than {remote.sha256}"
        raise _RefusedError(msg)


def _receive(url: str, remote: RemoteFile, part: Path, progress: Progress) -> None:
    """Append to a part what one request brings."""
    begin = stored_size(part)
    with _ask(url, begin) as response:
        begin = _check_answer(response, begin, remote, part)
        _store(response, begin, remote, part, progress)


def _ask(url: str, begin: int) -> Response:
    """Request a file from a position on; its body is still to come."""
    import requests

    headers = {"Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    try:
        return requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT)
    except (requests.ConnectionError, requests.Timeout) as error:
        reason = getattr(error.args[0], "reason", error) if error.args else error
        msg = f"could not be reached: {reason}"
        raise _RetryableError(msg) from error
    except requests.RequestException as error:
        msg = f"cannot be used: {error}"
        raise _RefusedError(msg) from error


def _check_answer(
    response: Response, begin: int, remote: RemoteFile, part: Path
) -> int:
    """Return the position at which the answer begins; raise if it is none."""
    status = response.status_code
    answer = f"answered {status} {response.reason}"
    if status in _WORTH_RETRYING:
        raise _RetryableError(answer)
    content_range = response.headers.get("Content-Range", "")
    misplaced = status == 206 and not content_range.startswith(f"bytes {begin}-")
    if misplaced or (status == 416 and begin):
        part.unlink(missing_ok=True)  # the next attempt begins anew
        raise _RetryableError(answer)
    if status not in (200, 206):
        raise _RefusedError(answer)
    begin = begin if status == 206 else 0
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and begin + int(length) != remote.size:
        msg = f"offers {begin + int(length)} bytes instead of {remote.size}"
        raise _RefusedError(msg)
    return begin


def _store(
    response: Response, begin: int, remote: RemoteFile, part: Path, progress: Progress
) -> None:
    """Write the body of an answer behind what is there."""
    done = begin
    with part.open("ab" if begin else "wb") as stream:
        progress(done, remote.size)
        for chunk in _chunks(response):
            stream.write(chunk)
            done += len(chunk)
            if done > remote.size:
                break
            progress(done, remote.size)
    if done > remote.size:
        part.unlink()
        msg = f"gave more than {remote.size} bytes"
        raise _RefusedError(msg)
    if done < remote.size:
        msg = f"broke off after {done} of {remote.size} bytes"
        raise _RetryableError(msg)


def _chunks(response: Response) -> Iterator[bytes]:
    """Yield the body of an answer, as far as it comes."""
    import requests

    with suppress(requests.RequestException):
        yield from response.iter_content(_CHUNK)
