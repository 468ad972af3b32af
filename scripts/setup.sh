#!/bin/sh
# Installs what knlp needs on a Debian machine: packages, and LibTorch into the user's cache directory,
# where every clone finds it. Says what it will do; does nothing where all is there.
#   scripts/setup.sh             install what is missing
#   scripts/setup.sh --dry-run   print the commands instead
#   scripts/setup.sh --no-doc    without the kernel documentation (the default training text)
#   scripts/setup.sh --tests     with the programs that some tests use, and are skipped without
# TORCH_VERSION=2.15.0 chooses another LibTorch; TORCH_DIR=DIR uses one that is already there.
set -eu

TORCH_VERSION=${TORCH_VERSION:-2.11.0}
cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/knlp
torch=$cache/libtorch-$TORCH_VERSION
packages="ca-certificates g++ make git python3 python3-pip python3-kconfiglib kconfig-frontends ccache mold
 libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libpcre2-dev libsqlite3-dev libssl-dev libxxhash-dev
 zlib1g-dev libgtest-dev libgmock-dev librapidcheck-dev"
documentation=linux-doc
dry=
needed=
for argument; do
    case $argument in
        --dry-run) dry=y ;;
        --no-doc) documentation= ;;
        --tests) packages="$packages binutils groff-base strace zsh" ;;
        -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "setup: unknown argument '$argument' (--dry-run, --no-doc, --tests, --help)" >&2; exit 2 ;;
    esac
done

say() { echo "setup: $*"; }
run() { needed=y; if [ -n "$dry" ]; then echo "  $*"; else "$@"; fi; }
as_root() {
    if [ "$(id -u)" = 0 ]; then run "$@"; return; fi
    if command -v sudo >/dev/null 2>&1; then run sudo "$@"; return; fi
    say "this needs root and sudo is not installed; as root, run:" >&2
    echo "  $*" >&2
    exit 5
}

is_debian() {
    [ -r /etc/os-release ] && command -v dpkg-query >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 &&
        (. /etc/os-release; case " ${ID:-} ${ID_LIKE:-} " in *" debian "*) exit 0 ;; *) exit 1 ;; esac)
}

missing_packages() {
    # One call: a package is there when dpkg says "ii".
    installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' $packages $documentation 2>/dev/null |
        sed -n 's/^ii  *//p')
    for package in $packages $documentation; do
        case "
$installed
" in *"
$package
"*) ;; *) printf '%s ' "$package" ;; esac
    done
}

# Elsewhere than Debian: name what is missing, by what is looked for.
name_missing() {
    lost=
    for program in g++ make git python3 kconfig-conf kconfig-mconf; do
        command -v $program >/dev/null 2>&1 || lost="$lost $program"
    done
    /usr/bin/env python3 -c 'import kconfiglib' 2>/dev/null || lost="$lost python3:kconfiglib"
    for header in fmt/format.h CLI/CLI.hpp spdlog/spdlog.h nlohmann/json.hpp pcre2.h sqlite3.h openssl/evp.h \
        xxhash.h zlib.h gtest/gtest.h rapidcheck.h; do
        [ -e /usr/include/$header ] || [ -e /usr/local/include/$header ] || lost="$lost $header"
    done
    [ -n "${TORCH_DIR:-}" ] || [ -e "$torch/torch/version.py" ] || lost="$lost LibTorch-$TORCH_VERSION"
    [ -n "$lost" ] || { say "everything needed is here"; exit 0; }
    say "this is not Debian, so nothing is installed for you. Missing:$lost" >&2
    say "LibTorch is the Python package torch==$TORCH_VERSION; give its folder with TORCH_DIR=" >&2
    exit 5
}

install_packages() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    say "installs Debian packages: $missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # No recommended packages: the two commands should work on a small machine.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
}

# One set-up at a time writes to the cache: work there goes to $work, which disappears if the set-up ends
# early. What is made there gets its name by a rename at the very end, so it is whole or not there.
open_cache() {
    mkdir -p "$cache"
    exec 9>"$cache/.setup.lock"
    flock 9
    rm -rf "$cache"/.*.partial
    work=$cache/.$1.$$.partial
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}
close_cache() {
    rm -rf "$work"
    trap - EXIT INT TERM
    exec 9>&-
}

have_documentation() {
    for directory in /usr/share/doc/linux-doc*/Documentation "$cache"/linux-doc/usr/share/doc/linux-doc*/Documentation; do
        [ -d "$directory" ] && return 0
    done
    return 1
}

# Images without /usr/share/doc (containers often exclude it) get the text in the cache instead.
install_documentation() {
    [ -n "$documentation" ] && [ -z "$dry" ] && ! have_documentation || return 0
    open_cache linux-doc
    if ! have_documentation; then
        say "unpacks the kernel documentation into $cache/linux-doc (this system leaves out /usr/share/doc)"
        name=$(apt-cache depends linux-doc | sed -n 's/.*Depends: *\(linux-doc-[0-9.]*\).*/\1/p' | head -n 1)
        mkdir "$work"
        (cd "$work" && apt-get download -qq "${name:?linux-doc names no package}" && dpkg-deb -x ./*.deb tree) 9>&-
        rm -rf "$cache/linux-doc"
        mv "$work/tree" "$cache/linux-doc"
    fi
    close_cache
}

install_torch() {
    if [ -n "${TORCH_DIR:-}" ]; then
        [ -e "$TORCH_DIR/version.py" ] || {
            say "TORCH_DIR=$TORCH_DIR holds no LibTorch (version.py is missing there)" >&2; exit 5; }
        return 0
    fi
    [ ! -e "$torch/torch/version.py" ] || return 0
    say "installs LibTorch $TORCH_VERSION (about 530 MB to download, 1.3 GB on disk) into $torch"
    python=/usr/bin/python3
    [ -x $python ] || python=python3
    if [ -n "$dry" ]; then
        run $python -m pip install --no-deps --target "$torch" "torch==$TORCH_VERSION" \
            "'nvidia-cuda-runtime==13.0.*'" "'nvidia-cuda-cupti==13.0.*'"
        return 0
    fi
    open_cache "libtorch-$TORCH_VERSION"
    [ ! -e "$torch/torch/version.py" ] || { close_cache; return 0; }
    $python -m pip install --quiet --no-deps --no-compile --disable-pip-version-check --root-user-action=ignore \
        --target "$work" "torch==$TORCH_VERSION" 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cupti==13.0.*' 9>&-
    sync -f "$work"
    rm -rf "$torch"
    mv "$work" "$torch"
    close_cache
}

is_debian || name_missing
install_packages
install_documentation
install_torch
[ -z "$dry" ] || { [ -n "$needed" ] || say "nothing to install"; exit 0; }
say "ready: LibTorch $(sed -n "s/^__version__ = '\(.*\)'/\1/p" "${TORCH_DIR:-$torch/torch}/version.py")"
