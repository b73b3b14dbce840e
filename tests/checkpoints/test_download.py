"""Downloads against a server on this machine: whole and right, or a clear error."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from _model_server import ModelServer, serving
from napari_gpcis.checkpoints import download as _download
from napari_gpcis.checkpoints.download import RemoteFile, fetch
from napari_gpcis.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 1_000_003
CONTENT = np.random.default_rng(0).bytes(SIZE)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving(CONTENT) as running:
        yield running


@pytest.fixture
def remote(server: ModelServer) -> RemoteFile:
    return RemoteFile("weights.pth", (server.url,), SIZE, SHA256)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No waiting; the pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(_download.time, "sleep", made.append)
    return made


def files(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_good_file(server: ModelServer, remote: RemoteFile, target: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch(remote, target, lambda *numbers: seen.append(numbers))
    assert target.read_bytes() == CONTENT
    assert files(target) == ["weights.pth"]
    assert seen[0] == (0, SIZE)
    assert seen[-1] == (SIZE, SIZE)
    assert seen == sorted(seen)
    assert server.asked == [""]


def test_a_server_that_dies_half_way_is_asked_for_the_rest(
    server: ModelServer, remote: RemoteFile, target: Path, pauses: list[float]
) -> None:
    server.cuts = [300_000, 700_000, 700_100]
    seen: list[int] = []
    fetch(remote, target, lambda done, _: seen.append(done))
    assert target.read_bytes() == CONTENT
    starts = [int(asked[6:-1]) for asked in server.asked[1:]]
    assert 0 < starts[0] <= 300_000 < starts[1] <= 700_000
    assert seen == sorted(seen)
    assert pauses[0] == _download.PAUSES[0]


def test_many_breaks_are_no_reason_to_give_up(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    server.cuts = list(range(100_000, 1_000_000, 100_000))
    fetch(remote, target)
    assert target.read_bytes() == CONTENT
    assert len(server.asked) > len(_download.PAUSES) + 1


def test_a_download_goes_on_another_day(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done > 400_000:
            raise StoppedError

    with pytest.raises(StoppedError):
        fetch(remote, target, stop)
    assert files(target) == ["weights.pth.part"]
    here = (target.parent / "weights.pth.part").stat().st_size
    assert here > 400_000
    fetch(remote, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={here}-"]


def test_a_server_without_ranges_begins_anew(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    server.ranges = False
    server.cuts = [500_000]
    fetch(remote, target)
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_an_answer_without_length(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    server.declared = False
    server.cuts = [500_000]
    fetch(remote, target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("here", [SIZE, SIZE + 5])
def test_a_damaged_part_is_thrown_away(
    here: int, server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    (target.parent / "weights.pth.part").write_bytes(bytes(here))
    with pytest.raises(DownloadError, match="another SHA-256"):
        fetch(remote, target)
    fetch(remote, target)
    assert target.read_bytes() == CONTENT


def test_another_address_repairs_a_damaged_part(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    (target.parent / "weights.pth.part").write_bytes(bytes(1000))
    twice = RemoteFile(remote.name, remote.urls * 2, SIZE, SHA256)
    fetch(twice, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", ""]


def test_a_wrong_hash(server: ModelServer, remote: RemoteFile, target: Path) -> None:
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DownloadError, match=f"another SHA-256 than {SHA256}"):
        fetch(remote, target)
    assert files(target) == []


@pytest.mark.parametrize("size", [130, SIZE - 1, SIZE + 1])
def test_another_size_is_refused_before_it_is_fetched(
    size: int, server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    server.content = (CONTENT + b"x")[:size]
    with pytest.raises(DownloadError, match=f"offers {size} bytes instead of {SIZE}"):
        fetch(remote, target)
    assert files(target) == []
    assert len(server.asked) == 1


def test_a_file_that_never_ends(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    server.declared = False
    server.content = CONTENT * 3
    with pytest.raises(DownloadError, match=f"gave more than {SIZE} bytes"):
        fetch(remote, target)
    assert files(target) == []


def test_a_truncated_file(
    server: ModelServer, remote: RemoteFile, target: Path, pauses: list[float]
) -> None:
    server.ranges = False
    server.cuts = [500_000] * 20
    with pytest.raises(DownloadError, match=rf"broke off after \d+ of {SIZE} bytes"):
        fetch(remote, target)
    assert not target.exists()
    assert pauses == list(_download.PAUSES)


def test_a_missing_file_is_not_asked_for_again(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    server.statuses = [404]
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:\d+ answered 404 Not F"):
        fetch(remote, target)
    assert len(server.asked) == 1
    assert files(target) == []


def test_the_second_address_helps(
    server: ModelServer, remote: RemoteFile, target: Path
) -> None:
    server.statuses = [403]
    fetch(RemoteFile(remote.name, remote.urls * 2, SIZE, SHA256), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(
    status: int,
    server: ModelServer,
    remote: RemoteFile,
    target: Path,
    pauses: list[float],
) -> None:
    server.statuses = [status] * 2
    fetch(remote, target)
    assert target.read_bytes() == CONTENT
    assert pauses == list(_download.PAUSES[:2])


def test_a_server_that_stays_busy(
    server: ModelServer, remote: RemoteFile, target: Path, pauses: list[float]
) -> None:
    server.statuses = [503] * 20
    with pytest.raises(DownloadError, match="answered 503"):
        fetch(remote, target)
    assert pauses == list(_download.PAUSES)


def test_no_network(target: Path, pauses: list[float]) -> None:
    with serving(CONTENT) as server:
        url = server.url  # nobody listens there any more
    with pytest.raises(DownloadError, match="could not be reached") as caught:
        fetch(RemoteFile("weights.pth", (url,), SIZE, SHA256), target)
    assert "napari-gpcis convert" in str(caught.value)
    assert pauses == list(_download.PAUSES)
    assert files(target) == []


def test_an_address_that_is_none(target: Path) -> None:
    with pytest.raises(DownloadError, match="cannot be used"):
        fetch(RemoteFile("weights.pth", ("none://x",), SIZE, SHA256), target)


class Full:
    """A stream on a disk that has no space left after 300,000 bytes."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def write(self, chunk: bytes) -> None:
        if self.stream.tell() > 300_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.stream.write(chunk)


def test_a_full_disk_gets_its_space_back(
    server: ModelServer,
    remote: RemoteFile,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Path.open

    def small(path: Path, mode: str = "r") -> Any:
        stream = real(path, mode)
        return Full(stream) if mode == "wb" else stream

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", small)
        with pytest.raises(DownloadError, match="cannot be stored: No space left"):
            fetch(remote, target)
    assert files(target) == []
    assert len(server.asked) == 1
    fetch(remote, target)
    assert target.read_bytes() == CONTENT
