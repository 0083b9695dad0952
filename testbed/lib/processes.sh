# shellcheck shell=bash
# Long-running processes, one pid file each. Sourced, not run.
#
# A pid file holds the pid and the process's start time, so that a stale one is never taken for a stranger's process.

# start_process NAME COMMAND... : in a session of its own, output to a new log (the last one is kept); returns at once.
start_process() {
  local name=$1
  shift
  mkdir -p "$STATE/pids" "$STATE/logs"
  rm -f "$STATE/pids/$name"
  [ ! -e "$STATE/logs/$name.log" ] || mv "$STATE/logs/$name.log" "$STATE/logs/$name.previous.log"
  # The pid file is written before the command begins: an interrupted `up` leaves nothing that `down` cannot find.
  # File descriptor 9 is the lock, which must not outlive the command.
  setsid bash -c 'read -r -a stat <"/proc/$$/stat"; echo "$$ ${stat[21]}" >"$1"; shift; exec "$@"' \
    - "$STATE/pids/$name" "$@" >"$STATE/logs/$name.log" 2>&1 </dev/null 9>&- &
  wait_until 5 "the start of $name" test -s "$STATE/pids/$name"
}

# process_id NAME : prints the pid if that very process still runs; fails otherwise.
process_id() {
  local pid started stat
  read -r pid started 2>/dev/null <"$STATE/pids/$1" || return 1
  stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
  # Fields are counted after the command name, which stands in parentheses and may hold spaces. A zombie has ended.
  read -r -a stat <<<"${stat##*) }"
  [ "${stat[0]}" != Z ] && [ "${stat[19]}" = "$started" ] && echo "$pid"
}

process_runs() { process_id "$1" >/dev/null; }

# stop_process NAME SIGNAL SECONDS : asks by the signal, and kills after that time.
stop_process() {
  local pid deadline=$((SECONDS + $3))
  if pid=$(process_id "$1"); then
    kill -s "$2" "$pid"
    while process_runs "$1"; do
      [ "$SECONDS" -lt "$deadline" ] || kill -s KILL "$pid" 2>/dev/null || true
      sleep 0.05
    done
  fi
  rm -f "$STATE/pids/$1"
}

# await_ready NAME SECONDS COMMAND... : until the command succeeds; fails at once, with the log's end, if the process ends.
await_ready() {
  local name=$1 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! process_runs "$name" || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 15 "$STATE/logs/$name.log" >&2
      die "$name is not ready; its log is $STATE/logs/$name.log"
    fi
    sleep 0.1
  done
}
