# SPDX-License-Identifier: MIT
# Sourced by ./run and ./test from the top of the tree: installs packages, builds, quietly.
# shellcheck shell=bash

setup_tmp=$(mktemp -d)
trap 'rm -rf "$setup_tmp"' EXIT

say() { printf 'ringpool: %s\n' "$*" >&2; }

# quietly WHAT COMMAND...: one line; what the command printed is shown only if it fails.
quietly() {
  local what=$1
  shift
  say "$what"
  if ! "$@" > "$setup_tmp/log" 2>&1 < /dev/null; then
    cat "$setup_tmp/log" >&2
    say "failed: $*"
    exit 1
  fi
}

# packages GROUP...: their names in scripts/packages.txt, sorted.
packages() {
  local group name
  while read -r group name; do
    case " $* " in *" $group "*) printf '%s\n' "$name" ;; esac
  done < scripts/packages.txt | LC_ALL=C sort
}

# missing_packages GROUP...: those that are not installed. One query of dpkg's database, which fails
# for a name that it has never heard of and answers for the others.
missing_packages() {
  packages "$@" > "$setup_tmp/wanted"
  { xargs dpkg-query -W -f '${db:Status-Status} ${Package}\n' < "$setup_tmp/wanted" 2> /dev/null || true; } |
    sed -n 's/^installed //p' | LC_ALL=C sort -u > "$setup_tmp/present"
  LC_ALL=C comm -23 "$setup_tmp/wanted" "$setup_tmp/present"
}

apt() {
  local -a root=()
  if [ "$(id -u)" -ne 0 ]; then
    root=(sudo)
    command -v sudo || { printf 'this needs root, or sudo\n' && return 1; }
  fi
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@"
}

# install_missing GROUP...
install_missing() {
  if ! command -v dpkg-query > /dev/null; then
    say 'no dpkg here: install what scripts/packages.txt lists by hand'
    return
  fi
  local -a missing
  mapfile -t missing < <(missing_packages "$@")
  if [ "${#missing[@]}" -ne 0 ]; then
    quietly 'reading the package index' apt update
    quietly "installing ${missing[*]}" apt install -y --no-install-recommends "${missing[@]}"
  fi
}

configure_and_build() {
  cmake --preset release && cmake --build --preset release --target "$@"
}

# build_release TARGET...: of the preset `release`.
build_release() {
  quietly "building $* in build/release (minutes, the first time)" configure_and_build "$@"
}

# Compilers behind ccache, where it is there.
if command -v ccache > /dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
