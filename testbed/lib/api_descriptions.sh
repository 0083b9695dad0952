# shellcheck shell=bash
# What the API of each Kubernetes takes, as it describes itself. Sourced, not run.

# One of each minor version that the chart is meant for.
RELEASES=(1.31.14 1.32.13 1.33.13 "$KUBERNETES_VERSION" 1.35.4 1.36.3)
API_DESCRIPTIONS=$CACHE/api-descriptions/$(echo "${RELEASES[@]}" | sha256sum | cut -c1-12)

# fetch_api_descriptions : VERSION.json of each, in OpenAPI 2.
fetch_api_descriptions() {
  mkdir -p "$CACHE/api-descriptions"
  (
    exec 8>"$CACHE/locks/api-descriptions" 9>&-
    flock 8
    [ -d "$API_DESCRIPTIONS" ] || fetch_releases
    touch "$API_DESCRIPTIONS"
    forget_old "$CACHE/api-descriptions"
  )
}

# Go checks what it fetches. A module cache of its own, since one file of the 100 MB of each is kept.
fetch_releases() {
  local version new=$API_DESCRIPTIONS.part
  set_up_go
  rm -rf "$new"
  mkdir "$new"
  export GOMODCACHE=$new/mod
  for version in "${RELEASES[@]}"; do
    say "fetching the API description of Kubernetes $version"
    (cd "$new" && nice go mod download "k8s.io/kubernetes@v$version") >&2
    cp "$GOMODCACHE/k8s.io/kubernetes@v$version/api/openapi-spec/swagger.json" "$new/$version.json"
    rm -rf "$GOMODCACHE"
  done
  mv "$new" "$API_DESCRIPTIONS"
}
