# shellcheck shell=bash disable=SC2154
# Sourced, after lib.sh, by what needs a cluster with our images that ends with the script: kind where a Docker engine answers, else the
# one of tools/cluster (root). What comes after sees KUBECONFIG and names of images.
brought=
kubeconfig=

docker_answers() { docker info >/dev/null 2>&1; }

# Asks for root's password, where the cluster takes one, now and not in the middle.
on_cluster_begin() { docker_answers || as_root true; }

# on_cluster ARGUMENTS...: cargo, whose programs are run as root where the cluster is: they kill what runs on it.
on_cluster() {
  local runner="target.'cfg(unix)'.runner = ['sudo', '-E', 'env', 'PATH=$PATH', 'HOME=$HOME']"
  if docker_answers || [ "$(id -u)" -eq 0 ]; then cargo "$@"; else cargo --config "$runner" "$@"; fi
}

# What tools/setup has to see to.
cluster_needs() { if docker_answers; then echo go; else printf '%s\n' go node; fi; }

# What tools/fetch brings.
cluster_parts() { if docker_answers; then printf '%s\n' helm kind; else printf '%s\n' helm kubernetes node; fi; }

# bring_cluster NAME TAG...: a cluster with the images, built now, under each tag; helm and kubectl on PATH. `trap end_cluster EXIT` first.
bring_cluster() {
  local helm
  helm=$("$root/tools/fetch" helm)
  kubeconfig=$(mktemp -t kubeconfig.XXXXXX)
  # both networks enforce policies: kind's nodes and ours have the same program for it
  export PATH=$helm:$PATH KUBECONFIG=$kubeconfig E2E_NETWORK_POLICIES=enforced
  if docker_answers; then on_kind "$@"; else on_our_own "${@:2}"; fi
}

on_kind() {
  have kind || PATH=$("$root/tools/fetch" kind):$PATH
  brought=$1
  "$root/tools/kind-up" "$@"
}

on_our_own() {
  local there
  if there=$("$root/tools/cluster" kubeconfig 2>/dev/null); then
    die "a cluster runs already (KUBECONFIG=$there), and only one is kept in the background: \`tools/cluster down\` ends it"
  fi
  local what tag archive images=()
  for what in operator worker; do
    for tag in "$@"; do
      # the version's own is the one of `make images`
      archive=$root/target/images/$what${tag#"$(version)"}.tar
      "$root/tools/image" "$what" "$archive" "$tag" >/dev/null
      images+=("$archive")
    done
  done
  brought=own
  "$root/tools/cluster" up --nodes 2 "${images[@]}" >/dev/null
  # with its keys inside: the files are root's
  as_root kubectl --kubeconfig "$("$root/tools/cluster" kubeconfig)" config view --flatten --raw >"$KUBECONFIG"
}

# Ends what was brought; KEEP_CLUSTER=1 leaves it there.
end_cluster() {
  # an end is not to be ended half way
  trap '' INT TERM
  [ -z "$kubeconfig" ] || rm -f "$kubeconfig"
  [ -z "${KEEP_CLUSTER:-}" ] || return 0
  case $brought in
    '') ;;
    own) "$root/tools/cluster" down ;;
    *) kind delete cluster --name "$brought" ;;
  esac
}
