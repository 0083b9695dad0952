# shellcheck shell=bash
# PostgreSQL's programs. Sourced, not run.

# find_server : has a server installed, and the newest one's programs first on the PATH.
find_server() {
  local installed=(/usr/lib/postgresql/*/bin)
  [ -d "${installed[0]}" ] || command -v initdb >/dev/null || install_packages postgresql
  installed=(/usr/lib/postgresql/*/bin)
  [ ! -d "${installed[0]}" ] || PATH=${installed[-1]}:$PATH
}
