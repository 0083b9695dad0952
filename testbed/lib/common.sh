# shellcheck shell=bash
# Where the testbed keeps things, what it calls them, and the helpers that every part uses. Sourced, not run.
set -euo pipefail

TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CHECKOUT=$(dirname "$TESTBED")
CACHE=$(realpath -m "${CRYPTOPIPELINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cryptopipeline}")
STATE=$(realpath -m "${TESTBED_STATE:-$CHECKOUT/target/testbed}")
# Tells this checkout's cluster, network and files from those of another one, and from a user's own.
ID=$(printf %s "$STATE" | sha256sum | cut -c1-8)
NAME=cryptopipeline-testbed-$ID

# State whose path must be short (a socket's may have 107 characters) and open to the user that PostgreSQL runs as.
SHORT_STATE=/var/tmp/$NAME

say() { printf 'testbed: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# hash_of FILE_OR_DIR... : 12 hex digits that change when any of the files' names or contents does.
hash_of() {
  (cd "$CHECKOUT" && find "${@#"$CHECKOUT/"}" -type f ! -name '*.md' ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum) |
    sha256sum | cut -c1-12
}

# wait_until SECONDS WHAT COMMAND... : tries the command until it succeeds.
wait_until() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "$what did not happen in time"
    sleep 0.1
  done
}

# port_of NAME : the port that this name was given first. A service that is stopped and started keeps its address.
#
# Ports lie below the ephemeral range: a client that keeps reconnecting to a stopped server could otherwise be given
# the server's port as its own, and hold it.
port_of() {
  local file=$STATE/ports/$1 port
  if [ ! -e "$file" ]; then
    mkdir -p "$STATE/ports"
    until port=$((20000 + RANDOM % 10000)) && port_is_free "$port" && ! grep -qrx "$port" "$STATE/ports"; do :; done
    echo "$port" >"$file"
  fi
  cat "$file"
}

port_is_free() { [ -z "$(ss -Hltn "sport = :$1")" ]; }

port_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

# forget_taken_ports NAME... : lets go of ports that somebody else took while the service was down.
forget_taken_ports() {
  local name
  for name; do
    [ ! -e "$STATE/ports/$name" ] || port_is_free "$(port_of "$name")" || rm "$STATE/ports/$name"
  done
}

# lock NAME : one testbed command at a time; the others wait. Held until this shell and its background jobs end.
lock() {
  mkdir -p "$CACHE/locks"
  exec 9>"$CACHE/locks/$1"
  flock -n 9 || { say "waiting for another testbed command"; flock 9; }
}

# forget_old DIRECTORY : removes from a cache what other revisions made and nobody used for a week.
forget_old() { find "$1" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +; }

# unmount_below DIRECTORY : what an interrupted run may have left mounted in there.
unmount_below() {
  awk -v below="$1/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
}

# write_env PART NAME VALUE ... : what `up` prints for this part, shell-quoted; there may be a password in it.
write_env() {
  local part=$1
  shift
  mkdir -p "$STATE/env"
  (umask 077 && while [ $# -gt 0 ]; do printf 'export %s=%q\n' "$1" "$2"; shift 2; done >"$STATE/env/.$part")
  mv "$STATE/env/.$part" "$STATE/env/$part"
}

random_secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
