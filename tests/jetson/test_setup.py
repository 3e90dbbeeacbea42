"""jetson/setup.sh on recorded boards, with a stand-in for the system's Python that writes down what it is asked."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "jetson" / "setup.sh"
RELEASES = {
    "orin-nano": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
    "thor": "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64",
    "orin-7.2": "# R39 (release), REVISION: 2.0, GCID: 46000000, BOARD: generic, EABI: aarch64",
    "xavier": "# R35 (release), REVISION: 6.1, GCID: 39721438, BOARD: t186ref, EABI: aarch64",
    "future": "# R41 (release), REVISION: 1.0, GCID: 1, BOARD: generic, EABI: aarch64",
}
PYTHON = """#!/bin/sh
echo "python $*" >> "$LOG"
case "$*" in
    *ensurepip*) [ -z "$NO_VENV" ] ;;
    *tensorrt.__version__*) echo 10.3.0 ;;
    *"import tensorrt"*) [ -z "$NO_TENSORRT" ] ;;
    *"import cv2"*) true ;;
    *sys.version_info*) echo "$STUB_VERSION" ;;
    "-m venv --system-site-packages "*)
        mkdir -p "$4/bin"
        echo "include-system-site-packages = true" > "$4/pyvenv.cfg"
        cp "$0" "$4/bin/python"
        printf '#!/bin/sh\\necho "edgesr $*" >> "$LOG"\\n' > "$4/bin/edgesr"
        chmod +x "$4/bin/edgesr"
        ;;
esac
"""

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")


class Board:
    """A folder that looks like a Jetson's root, a home, and a run of setup.sh on it."""

    def __init__(self, folder: Path, name: str, version: str = "3.10", memory: int = 6 << 20, swap: int = 4 << 20):
        self.folder, self.home, self.log = folder, folder / "home", folder / "log"
        (folder / "root/etc").mkdir(parents=True)
        (folder / "root/proc/device-tree").mkdir(parents=True)
        self.home.mkdir()
        (folder / "root/etc/nv_tegra_release").write_text(RELEASES[name] + "\n")
        (folder / "root/proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
        (folder / "root/proc/meminfo").write_text(f"MemAvailable: {memory} kB\nSwapTotal: {swap} kB\n")
        python = folder / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LOG": str(self.log),
            "STUB_VERSION": version,
            "EDGESR_SETUP_ROOT": str(folder / "root"),
            "EDGESR_SETUP_PYTHON": str(python),
        }

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(SETUP), *arguments]
        return subprocess.run(
            command, env=self.environment | environment, capture_output=True, text=True, check=False, timeout=60
        )

    @property
    def asked(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


def test_a_board_is_set_up_with_jetpacks_libraries_in_sight(tmp_path):
    board = Board(tmp_path, "orin-nano")
    answer = board.run()
    assert answer.returncode == 0, answer.stdout + answer.stderr
    venv = board.home / ".local/share/edgesr/venv"
    assert f"python -m venv --system-site-packages {venv}\n" in board.asked
    assert f"--upgrade {ROOT} numpy>=1.23,<2\n" in board.asked
    assert board.asked.endswith("edgesr doctor\n")
    assert (board.home / ".local/bin/edgesr").resolve() == venv / "bin/edgesr"
    assert "TensorRT 10.3.0" in answer.stdout


def test_a_board_without_a_device_tree_is_named_unknown(tmp_path):
    board = Board(tmp_path, "orin-nano")
    (tmp_path / "root/proc/device-tree/model").unlink()
    answer = board.run("--dry-run")
    assert "unknown Jetson, L4T 36.4.3" in answer.stdout
    assert answer.stderr == ""


def test_a_problem_that_the_doctor_finds_is_the_last_word(tmp_path):
    board = Board(tmp_path, "orin-nano")
    board.run()
    (board.home / ".local/share/edgesr/venv/bin/edgesr").write_text("#!/bin/sh\nexit 3\n")
    answer = board.run()
    assert answer.returncode == 3
    assert "its doctor found a problem" in answer.stderr
    assert "ready" not in answer.stdout


def test_a_second_run_keeps_the_environment(tmp_path):
    board = Board(tmp_path, "orin-nano")
    board.run()
    marker = board.home / ".local/share/edgesr/venv/kept"
    marker.touch()
    answer = board.run()
    assert answer.returncode == 0
    assert marker.exists()
    assert board.asked.count("-m venv") == 1


def test_a_dry_run_shows_every_command_and_changes_nothing(tmp_path):
    board = Board(tmp_path, "orin-nano")
    answer = board.run("--dry-run", "--service", "csi://0", "--extras", "dicom")
    assert answer.returncode == 0
    assert list(board.home.iterdir()) == []
    for line in ("-m venv --system-site-packages", "pip install", "ln -sfn", "edgesr doctor", '"csi://0"'):
        assert line in answer.stdout
    assert f"{ROOT}\\[dicom\\]" in answer.stdout
    assert "nothing was changed" in answer.stdout


@pytest.mark.parametrize(("name", "version", "numpy"), [("thor", "3.12", ">=1.26"), ("orin-7.2", "3.12", ">=1.26")])
def test_newer_jetpacks_get_their_own_python_and_numpy(tmp_path, name, version, numpy):
    board = Board(tmp_path, name, version)
    assert board.run().returncode == 0
    assert f"numpy{numpy}\n" in board.asked


@pytest.mark.parametrize(
    ("name", "words"),
    [("xavier", "flash JetPack 6"), ("future", "does not know")],
)
def test_other_releases_are_refused_with_a_remedy(tmp_path, name, words):
    board = Board(tmp_path, name)
    answer = board.run()
    assert answer.returncode == 3
    assert words in answer.stderr
    assert list(board.home.iterdir()) == []


def test_a_machine_that_is_no_jetson_is_sent_to_make_run(tmp_path):
    board = Board(tmp_path, "orin-nano")
    (tmp_path / "root/etc/nv_tegra_release").unlink()
    answer = board.run()
    assert answer.returncode == 3
    assert "not a Jetson" in answer.stderr
    assert "make run" in answer.stderr


@pytest.mark.parametrize(
    ("environment", "package"), [({"NO_TENSORRT": "1"}, "python3-libnvinfer"), ({"NO_VENV": "1"}, "python3.10-venv")]
)
def test_missing_packages_are_named_with_the_command(tmp_path, environment, package):
    answer = Board(tmp_path, "orin-nano").run(**environment)
    assert answer.returncode == 3
    assert f"sudo apt-get install -y {package}" in answer.stderr


def test_system_installs_missing_packages_before_the_environment(tmp_path):
    board = Board(tmp_path, "orin-nano")
    answer = board.run("--dry-run", "--system", NO_TENSORRT="1")
    assert answer.returncode == 0
    install, venv = answer.stdout.index("apt-get install -y python3-libnvinfer"), answer.stdout.index("-m venv")
    assert install < venv


def test_too_little_memory_stops_and_little_swap_is_noted(tmp_path):
    stopped = Board(tmp_path / "a", "orin-nano", memory=500 << 10).run()
    assert stopped.returncode == 3
    assert "500 MiB of memory" in stopped.stderr
    noted = Board(tmp_path / "b", "orin-nano", memory=3 << 20, swap=0).run("--dry-run")
    assert noted.returncode == 0
    assert "0 MiB of swap: builds may be killed" in noted.stdout


@pytest.mark.parametrize("change", ["isolated", "python"])
def test_an_environment_that_cannot_see_jetpack_is_refused_not_deleted(tmp_path, change):
    board = Board(tmp_path, "orin-nano")
    board.run()
    venv = board.home / ".local/share/edgesr/venv"
    if change == "isolated":
        (venv / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    answer = board.run(STUB_VERSION="3.12" if change == "python" else "3.10")
    assert answer.returncode == 3
    assert "rm -r" in answer.stderr
    assert venv.exists()


def test_a_wheelhouse_keeps_pip_off_the_network(tmp_path):
    board = Board(tmp_path, "orin-nano")
    (tmp_path / "wheels").mkdir()
    assert board.run("--wheelhouse", str(tmp_path / "wheels")).returncode == 0
    assert f"--no-index --find-links {tmp_path}/wheels" in board.asked


def test_the_unit_is_private_and_holds_the_uri_as_it_is(tmp_path):
    board = Board(tmp_path, "orin-nano")
    answer = board.run("--service", 'rtsp://me:p%40"$x@cam/1?a=b&c', "--sink", "rtp://10.0.0.2:5004", "--model", "m")
    assert answer.returncode == 0
    unit = board.home / ".config/systemd/user/edgesr.service"
    assert unit.stat().st_mode & 0o077 == 0
    text = unit.read_text()
    source = 'run "rtsp://me:p%%40\\"$$x@cam/1?a=b&c" --connect-timeout 1500'
    assert f'{source} --model "m" --output "rtp://10.0.0.2:5004"' in text
    assert "@" not in text.replace("x@cam", "")


@pytest.mark.parametrize("arguments", [["--nope"], ["--venv"], ["--venv", ""], ["--wheelhouse", "/does/not/exist"]])
def test_wrong_usage_is_one_line(tmp_path, arguments):
    answer = Board(tmp_path, "orin-nano").run(*arguments)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1


def test_help_names_every_option():
    text = subprocess.run(["bash", str(SETUP), "--help"], capture_output=True, text=True, check=True).stdout
    options = ("--dry-run", "--venv", "--bin", "--wheelhouse", "--extras", "--system", "--service", "--sink", "--model")
    assert all(option in text for option in options)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", str(SETUP)], check=True)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(tmp_path):
    board = Board(tmp_path, "orin-nano")
    board.run("--service", "csi://0")
    unit = board.home / ".config/systemd/user/edgesr.service"
    command = ["systemd-analyze", "verify", "--user", str(unit)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "edgesr.service" not in answer.stderr, answer.stderr


def test_the_unit_gives_up_on_its_camera_before_systemd_gives_up_on_the_unit():
    text = (ROOT / "jetson" / "edgesr.service").read_text()
    waits, starts = (int(re.search(rf"{name}[= ](\d+)", text)[1]) for name in ("--connect-timeout", "TimeoutStartSec"))
    assert 300 < waits < starts
