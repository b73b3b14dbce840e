# How tests are run, shared by the scripts that run them; sourced after _setup.sh.

# run_tests BINDING ARGUMENT...: pytest in virtual screens, with this Qt binding.
run_tests() {
    local binding=$1
    shift
    need_display virtual
    export QT_API=$binding PYTEST_QT_API=$binding
    # Short tests gain nothing from threads, and threads wait for each other when busy.
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
    # napari then refuses that a plugin touches a viewer outside the main thread.
    export NAPARI_ENSURE_PLUGIN_MAIN_THREAD=1
    [ "$(uname -s)" != Linux ] || export QT_QPA_PLATFORM=xcb
    # Each process has a virtual screen. One more than the cores of a small machine: tests
    # of windows wait a sixth of their time. A file's tests stay together. Sorted by
    # their number of tests, the longest of all, with one test, would come last.
    env -u WAYLAND_DISPLAY "$VENV/bin/python" -m pytest \
        --numprocesses "${TEST_PROCESSES:-3}" --dist loadfile --no-loadscope-reorder \
        --max-worker-restart 0 "$@"
}
