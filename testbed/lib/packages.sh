# shellcheck shell=bash
# What the testbed needs of the machine. Sourced, not run.

# need_commands COMMAND=DEBIAN_PACKAGE... : installs the packages of the commands that are missing, or says which they are.
need_commands() {
  local pair missing=()
  for pair; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

install_packages() {
  command -v apt-get >/dev/null || die "please install what Debian calls: $*"
  [ "$(id -u)" = 0 ] || die "please run as root: apt-get install $*"
  say "installing $*"
  (
    exec 9>&- >&2
    export DEBIAN_FRONTEND=noninteractive
    # Several parts may install at the same time.
    install=(apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@")
    "${install[@]}" >/dev/null 2>&1 || { apt-get update -qq && "${install[@]}" >/dev/null; }
  )
}
