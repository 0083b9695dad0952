# shellcheck shell=bash
# The docker daemon and network of the testbed, as far as they are up. Sourced, not run.

DOCKER_STATE=$STATE/docker

# Set where the testbed runs a daemon of its own.
[ ! -e "$DOCKER_STATE/socket" ] || export DOCKER_HOST=unix://$(cat "$DOCKER_STATE/socket")

# The host's address as pods see it; empty while there is no network.
GATEWAY=$(cat "$DOCKER_STATE/gateway" 2>/dev/null || true)
