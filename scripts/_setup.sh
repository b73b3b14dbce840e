# Set-up shared by the scripts: the interpreter, .venv and the system libraries of Qt.
# Sourced by bash scripts that stand in this folder; leaves them in the root folder.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
EVERYTHING=all,training,test,lint,docs
TORCH=$(grep '^torch==' constraints.txt)

# What Python compiles is kept, in .venv: where PYTHONDONTWRITEBYTECODE is set, each of the
# many processes of the tests would compile PyTorch and napari anew, for seconds.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX=$PWD/$VENV/bytecode

say() { printf '== %s\n' "$*" >&2; }
fail() {
    printf '!! %s\n' "$@" >&2
    exit 1
}

# --- Debian packages ----------------------------------------------------------------

# The command that lets apt-get install something, or nothing if that is not allowed.
root_prefix() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        echo sudo
    else
        return 1
    fi
}

# apt_install REASON PACKAGE...: install, or say what to install and fail.
apt_install() {
    local reason=$1 prefix line
    shift
    line="apt-get update && apt-get install -y --no-install-recommends $*"
    command -v apt-get >/dev/null || fail "$reason" \
        "Install what your system calls: $*"
    prefix=$(root_prefix) || fail "$reason" "Run as root: $line"
    say "$reason Installing $*"
    $prefix apt-get update -qq >&2 || say "apt-get update failed; trying without it"
    $prefix env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        fail "$reason" "This failed: $line"
}

# What Qt and OpenGL load, and the Debian package of each.
SYSTEM_LIBRARIES="
libEGL.so.1 libegl1
libGL.so.1 libgl1
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-shape.so.0 libxcb-shape0
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libglib-2.0.so.0 libglib2.0-0"

# need_display [virtual]: make sure that Qt can open a window.
need_display() {
    [ "$(uname -s)" = Linux ] || return 0
    local cache library package missing=()
    cache=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
    while read -r library package; do
        [ -z "$library" ] || [[ $cache == *"$library "* ]] || missing+=("$package")
    done <<<"$SYSTEM_LIBRARIES"
    if [ "${1:-}" = virtual ]; then
        command -v Xvfb >/dev/null && command -v xvfb-run >/dev/null || missing+=(xvfb)
        command -v xauth >/dev/null || missing+=(xauth)
    fi
    [ ${#missing[@]} = 0 ] ||
        apt_install "Opening a window needs system libraries." "${missing[@]}"
}

has_display() {
    [ "$(uname -s)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]
}

# in_virtual_display COMMAND...: run in a screen that nobody sees (Linux).
in_virtual_display() {
    [ "$(uname -s)" = Linux ] || exec "$@"
    env -u WAYLAND_DISPLAY QT_QPA_PLATFORM=xcb \
        xvfb-run -a -s "-screen 0 1280x900x24" "$@"
}

# --- Python -------------------------------------------------------------------------

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local python version
    python=$(find_python) || apt_install "Python 3.11 or newer was not found." python3
    python=$(find_python) || fail "Python 3.11 or newer was not found." \
        "Install it, or run with PYTHON=/path/to/python3.11"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "$python cannot make environments." "python$version-venv"
    fi
    say "Making $VENV with $python"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
}

# need_python EXTRAS: an up-to-date .venv with this project and these extras. A stamp
# with the hash of everything that decides its contents makes the second time quick.
need_python() {
    local extras=$1 stamp state
    "$VENV/bin/python" -c 'import pip' 2>/dev/null || make_venv
    state=$(cat pyproject.toml constraints.txt scripts/_setup.sh | cksum)
    state="$state $(pwd)"
    for stamp in "$VENV/.installed-$extras" "$VENV/.installed-$EVERYTHING"; do
        [ "$(cat "$stamp" 2>/dev/null)" != "$state" ] || return 0
    done
    say "Installing into $VENV (the first time takes a few minutes)"
    pip_install "$TORCH"
    pip_install -e ".[$extras]"
    echo "$state" >"$VENV/.installed-$extras"
}

# borrow_packages FROM: let VENV, which is made if need be, see what is installed in
# another environment; what it has itself goes first.
borrow_packages() {
    local where='import site; print(site.getsitepackages()[0])' from
    "$VENV/bin/python" -c 'import pip' 2>/dev/null || make_venv
    from=$(pwd)/$1
    from=$("$from/bin/python" -c "$where")
    printf 'import site; site.addsitedir(%s)\n' "r'$from'" \
        >"$("$VENV/bin/python" -c "$where")/borrowed.pth"
}

pip_install() {
    # Most modules are never imported: Python compiles those that are.
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --constraint constraints.txt "$@" >&2 ||
        fail "pip could not install $*; its message stands above"
}
