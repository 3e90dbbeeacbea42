#!/usr/bin/env bash
# Set edgesr up on a Jetson: check the board first, then make a virtual environment that sees JetPack's own
# TensorRT and OpenCV, install edgesr into it, and ask `edgesr doctor`. Safe to run again; compiles nothing.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: jetson/setup.sh [OPTION]...

  --dry-run          check, and print the commands instead of running them
  --venv DIR         the virtual environment (default: ~/.local/share/edgesr/venv)
  --bin DIR          where to link the edgesr command (default: ~/.local/bin)
  --wheelhouse DIR   install from wheels in DIR, without a network
  --extras LIST      extras of edgesr, e.g. dicom,video (default: none)
  --system           install missing Debian packages with sudo apt-get (default: name them and stop)
  --service URI      also write a systemd user unit that runs a live picture from URI, see docs/jetson.md
  --sink URI         where that unit sends the picture (default: display://0)
  --model NAME       model of that unit (default: cxr-x4-fast)
  -h, --help         this text

Environment: EDGESR_SETUP_ROOT reads the board's files (/etc, /proc, /usr) below another folder, for tests.

Exit codes: 0 ready, 2 wrong usage, 3 this board or its software does not fit (the line says what to do).
TEXT
}

ROOT=${EDGESR_SETUP_ROOT:-}
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$HOME/.local/share/edgesr/venv
BIN=$HOME/.local/bin
UNITS=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
WHEELHOUSE='' EXTRAS='' SERVICE='' SINK=display://0 MODEL=cxr-x4-fast DRY='' SYSTEM=''

say() { printf '%-9s %s\n' "$1" "$2"; }
stop() {
    say problem "$1" >&2
    [ -z "${2:-}" ] || say '' "do: $2" >&2
    exit 3
}
misuse() {
    echo "setup.sh: $1; see jetson/setup.sh --help" >&2
    exit 2
}
run() {
    printf '+ %s\n' "$(printf '%q ' "$@")"
    [ -n "$DRY" ] || "$@"
}

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) DRY=1 ;;
        --system) SYSTEM=1 ;;
        --venv | --bin | --wheelhouse | --extras | --service | --sink | --model)
            if [ $# -lt 2 ] || [ -z "$2" ]; then misuse "$1 needs a value"; fi
            case $1 in
                --venv) VENV=$2 ;;
                --bin) BIN=$2 ;;
                --wheelhouse) WHEELHOUSE=$2 ;;
                --extras) EXTRAS=$2 ;;
                --service) SERVICE=$2 ;;
                --sink) SINK=$2 ;;
                --model) MODEL=$2 ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) misuse "unknown option $1" ;;
    esac
    shift
done

[ -f "$SOURCE/pyproject.toml" ] || stop "no edgesr checkout around jetson/setup.sh" "run it inside a clone of edgesr"
[ "$(id -u)" != 0 ] || [ -n "$ROOT" ] || [ -f /.dockerenv ] ||
    stop "setup.sh runs as the user who will use edgesr, not as root" "run it again without sudo"
[ -z "$WHEELHOUSE" ] || [ -d "$WHEELHOUSE" ] || misuse "--wheelhouse $WHEELHOUSE is not a folder"

# --- the board -------------------------------------------------------------------------------------------------------
release=$(head -n 1 "$ROOT/etc/nv_tegra_release" 2>/dev/null || true)
[[ $release =~ R([0-9]+).*REVISION:\ *([0-9]+)\.?([0-9]*) ]] ||
    stop "no L4T release in $ROOT/etc/nv_tegra_release: this is not a Jetson, or a container without that file" \
        "on other machines use: make run; in a container add: -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"
major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]} patch=${BASH_REMATCH[3]:-0}
model=$({ cat "$ROOT/proc/device-tree/model" 2>/dev/null || printf 'unknown Jetson'; } | tr -d '\0')
case $major in
    36) python=3.10 numpy='numpy>=1.23,<2' tensorrt='8.6 or 10.3' ;;
    38) python=3.12 numpy='numpy>=1.26' tensorrt=10.13 ;;
    39) python=3.12 numpy='numpy>=1.26' tensorrt=10.16 ;;
    *)
        if [ "$major" -lt 36 ]; then
            stop "$model has L4T $major.$minor.$patch, whose Python is too old for edgesr" "flash JetPack 6 or newer"
        fi
        stop "$model has L4T $major.$minor.$patch, which this version of edgesr does not know" "update edgesr"
        ;;
esac
say ok "$model, L4T $major.$minor.$patch: Python $python, TensorRT $tensorrt"

# --- memory and disk -------------------------------------------------------------------------------------------------
memory=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' "$ROOT/proc/meminfo")
swap=$(awk '/^SwapTotal:/ {print int($2 / 1024)}' "$ROOT/proc/meminfo")
[ "${memory:-0}" -ge 1024 ] ||
    stop "only ${memory:-0} MiB of memory are free, the first build of an engine needs at least 1024" \
        "close the desktop: sudo systemctl isolate multi-user.target"
if [ "$memory" -lt 4096 ] && [ "${swap:-0}" -lt 2048 ]; then
    say note "$memory MiB of memory free and ${swap:-0} MiB of swap: builds may be killed; docs/jetson.md, section Memory"
else
    say ok "$memory MiB of memory free, ${swap:-0} MiB of swap"
fi
place=$VENV
while [ ! -d "$place" ]; do place=$(dirname "$place"); done
disk=$(df -Pm "$place" | awk 'NR == 2 {print $4}')
[ "$disk" -ge 600 ] || stop "only $disk MiB are free below $place, edgesr needs 600" "free some, or choose --venv DIR"
say ok "$disk MiB of disk free below $place"
[ -w "$place" ] || stop "$place is not writable" "choose another folder with --venv DIR"

# --- Python, TensorRT, OpenCV ----------------------------------------------------------------------------------------
system_python=${EDGESR_SETUP_PYTHON:-/usr/bin/python$python}
missing=()
if ! command -v "$system_python" >/dev/null; then
    missing+=("python$python")
fi
if ! "$system_python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing+=("python$python-venv")
fi
if ! "$system_python" -c 'import tensorrt' 2>/dev/null; then
    missing+=(python3-libnvinfer)
fi
if [ ${#missing[@]} -gt 0 ]; then
    if [ -z "$SYSTEM" ]; then
        stop "missing Debian packages: ${missing[*]}" "sudo apt-get install -y ${missing[*]}   (or run again with --system)"
    fi
    run sudo apt-get update
    run sudo apt-get install -y "${missing[@]}"
fi
if [ ${#missing[@]} -eq 0 ]; then
    found=$("$system_python" -c 'import tensorrt; print(tensorrt.__version__)')
    say ok "$system_python with TensorRT $found"
fi
if "$system_python" -c 'import cv2' 2>/dev/null; then
    say ok "JetPack's OpenCV is there"
else
    say note "no OpenCV for the system's Python; edgesr needs none, cameras then go through GStreamer"
fi

# --- install ---------------------------------------------------------------------------------------------------------
if [ -x "$VENV/bin/python" ]; then
    grep -qs '^include-system-site-packages *= *true' "$VENV/pyvenv.cfg" ||
        stop "$VENV cannot see JetPack's TensorRT" "rm -r $(printf '%q' "$VENV") and run setup.sh again"
    have=$("$VENV/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
    [ "$have" = "$python" ] ||
        stop "$VENV has Python $have, JetPack's libraries need $python" "rm -r $(printf '%q' "$VENV") and run setup.sh again"
    say ok "virtual environment $VENV"
else
    run mkdir -p "$(dirname "$VENV")"
    run "$system_python" -m venv --system-site-packages "$VENV"
fi
pip=("$VENV/bin/python" -m pip install --quiet --disable-pip-version-check)
[ -z "$WHEELHOUSE" ] || pip+=(--no-index --find-links "$WHEELHOUSE")
run "${pip[@]}" --upgrade "$SOURCE${EXTRAS:+[$EXTRAS]}" "$numpy"
run mkdir -p "$BIN"
run ln -sfn "$VENV/bin/edgesr" "$BIN/edgesr"
case :$PATH: in
    *":$BIN:"*) ;;
    *) say note "$BIN is not on PATH; add to ~/.profile: export PATH=\"$BIN:\$PATH\"" ;;
esac

# --- the service -----------------------------------------------------------------------------------------------------
if [ -n "$SERVICE" ]; then
    unit=$UNITS/edgesr.service
    escape() { printf '%s' "$1" | sed -e 's/%/%%/g' -e 's/[\\"]/\\&/g' -e 's/\$/$$/g'; }
    filled=$(cat "$SOURCE/jetson/edgesr.service")
    filled=${filled//@EDGESR@/"$(escape "$VENV/bin/edgesr")"}
    filled=${filled//@SOURCE@/"$(escape "$SERVICE")"}
    filled=${filled//@SINK@/"$(escape "$SINK")"}
    filled=${filled//@MODEL@/"$(escape "$MODEL")"}
    if [ -n "$DRY" ]; then
        printf '+ write %s:\n%s\n' "$unit" "$filled"
    else
        mkdir -p "$UNITS"
        (umask 077 && printf '%s\n' "$filled" >"$unit.part")
        mv "$unit.part" "$unit"
        say ok "wrote $unit"
    fi
    say note "start it with: systemctl --user daemon-reload && systemctl --user enable --now edgesr"
    say note "to start without a login: sudo loginctl enable-linger $(id -un)"
fi

# --- the answer ------------------------------------------------------------------------------------------------------
run "$VENV/bin/edgesr" doctor || stop "edgesr is installed, and its doctor found a problem" "what stands after -> above, then: edgesr doctor"
if [ -n "$DRY" ]; then
    say ok "nothing was changed (--dry-run)"
else
    say ok "ready: $BIN/edgesr run picture.png"
fi
