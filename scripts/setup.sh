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
 zlib1g-dev libboost-dev libgtest-dev libgmock-dev librapidcheck-dev"
documentation=linux-doc
documents=/usr/share/doc
dry=
needed=
for argument; do
    case $argument in
        --dry-run) dry=y ;;
        --no-doc) documentation= ;;
        --tests) packages="$packages binutils groff-base strace zsh iproute2 procps slurmctld slurmd slurm-client" ;;
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

# Whether make will find a LibTorch: the places scripts/make/torch.mk looks at, in its order.
have_torch() {
    [ -z "${TORCH_DIR:-}" ] || return 0
    [ ! -e "$torch/torch/version.py" ] || return 0
    python3 -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))' 2>/dev/null && return 0
    for version in "${HOME:-}"/.local/lib/python3*/site-packages/torch/version.py; do
        [ ! -e "$version" ] || return 0
    done
    return 1
}

# Elsewhere than Debian: name what is missing, by what is looked for. make and the scripts run
# /usr/bin/python3, whatever python3 comes first in $PATH.
name_missing() {
    lost=
    for program in g++ make git /usr/bin/python3 kconfig-conf kconfig-mconf; do
        command -v $program >/dev/null 2>&1 || lost="$lost $program"
    done
    /usr/bin/python3 -c 'import kconfiglib' 2>/dev/null || lost="$lost kconfiglib(/usr/bin/python3)"
    for header in fmt/format.h CLI/CLI.hpp spdlog/spdlog.h nlohmann/json.hpp pcre2.h sqlite3.h openssl/evp.h \
        xxhash.h zlib.h boost/math/distributions/non_central_t.hpp gtest/gtest.h rapidcheck.h; do
        [ -e /usr/include/$header ] || [ -e /usr/local/include/$header ] || lost="$lost $header"
    done
    have_torch || lost="$lost LibTorch-$TORCH_VERSION"
    [ -n "$lost" ] || { say "everything needed is here"; exit 0; }
    say "this is not Debian, so nothing is installed for you. Missing:$lost" >&2
    say "LibTorch is the Python package torch==$TORCH_VERSION; give its folder with TORCH_DIR=" >&2
    exit 5
}

# One set-up at a time, in all clones of a user, from the first change to the last. The lock is the
# descriptor's: it ends with this process, and programs started here do not get it.
lock() {
    mkdir -p "$cache"
    exec 9>"$cache/.setup.lock"
    flock 9
}
unlock() { exec 9>&-; }

# Packages that were unpacked and not configured, as a killed set-up leaves them; apt refuses to go on.
half_installed() { [ -n "$(dpkg --audit 2>/dev/null; ls /var/lib/dpkg/updates 2>/dev/null)" ]; }

install_packages() {
    [ -n "$(missing_packages)" ] || return 0
    [ -n "$dry" ] || lock
    if half_installed; then
        say "configures packages that an interrupted installation left behind"
        as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a 9>&-
    fi
    # Another set-up may have installed them in the meantime.
    missing=$(missing_packages)
    if [ -n "$missing" ]; then
        say "installs Debian packages: $missing"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq 9>&-
        # No recommended packages: the two commands should work on a small machine. Another apt may be at
        # work, as one that upgrades by itself is on a machine just started: it is waited for.
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=600 -y -qq \
            --no-install-recommends $missing 9>&-
    fi
    [ -n "$dry" ] || unlock
}

# Work in the cache goes to $work, which disappears if the set-up ends early. What is made there gets its
# name by a rename at the very end, so it is whole or not there.
open_cache() {
    lock
    rm -rf "$cache"/.*.partial
    work=$cache/.$1.$$.partial
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}
close_cache() {
    rm -rf "$work"
    trap - EXIT INT TERM
    unlock
}

have_documentation() {
    for directory in "$documents"/linux-doc*/Documentation "$cache/linux-doc$documents"/linux-doc*/Documentation; do
        [ ! -d "$directory" ] || return 0
    done
    return 1
}

# Whether installing the package brings no text: it is installed and the text is not there, or dpkg is told
# to leave it out.
leaves_out_documentation() {
    case " $(missing_packages)" in *" $documentation "*) ;; *) return 0 ;; esac
    grep -qs "^ *path-exclude *=* *$documents/" /etc/dpkg/dpkg.cfg /etc/dpkg/dpkg.cfg.d/*
}

# Images without /usr/share/doc (containers often exclude it) get the text in the cache instead.
install_documentation() {
    [ -n "$documentation" ] && ! have_documentation && leaves_out_documentation || return 0
    say "unpacks the kernel documentation into $cache/linux-doc (this system leaves out $documents)"
    name=$(apt-cache depends linux-doc 2>/dev/null |
        sed -n '/Depends: *linux-doc-[0-9]/{s/.*\(linux-doc-[0-9.]*\).*/\1/p;q;}')
    if [ -n "$dry" ]; then
        run apt-get download "${name:-linux-doc-VERSION}"
        run dpkg-deb -x "${name:-linux-doc-VERSION}_*.deb" "$cache/linux-doc"
        return 0
    fi
    open_cache linux-doc
    if ! have_documentation; then
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
