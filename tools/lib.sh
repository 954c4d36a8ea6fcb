# shellcheck shell=bash disable=SC2034
# Sourced by the scripts beside it: where things are, and how to say them.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${PLAUDIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plaudit}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
# at_least WANTED FOUND: both dotted versions
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }
# cargo_tool NAME VERSION: builds a program of cargo's registry into the cache, once, and prints the folder it is in
cargo_tool() {
  local home=$cache/tools/$1-$2
  mkdir -p "$cache/tools"
  [ -x "$home/bin/$1" ] || install_cargo_tool "$home" "$1" "$2" 9>"$cache/tools/$1.lock" || return
  echo "$home/bin"
}
install_cargo_tool() { # HOME NAME VERSION
  local target status=0
  flock 9
  [ ! -x "$1/bin/$2" ] || return 0
  say "building $2 $3 (once)"
  target=$(mktemp -d)
  # unoptimised: it runs for a second, and building it is what takes time; the target directory given explicitly is not ours to share
  CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$1" --target-dir "$target" --version "$3" "$2" 9>&- || status=$?
  rm -rf "$target"
  return "$status"
}
# go for tests/stack/kubernetes. Without debug information, and without the part of grpc that keeps the linker from dropping code,
# there is less to compile, link and keep.
go_kubernetes() {
  CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS="${GOFLAGS:-} -trimpath -buildvcs=false -tags=grpcnotrace -gcflags=all=-dwarf=false" nice go "$@"
}
# as_root COMMAND...: what has namespaces, mounts and cgroups of its own takes root; what is built stays the caller's.
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -E env "PATH=$PATH" "HOME=$HOME" "$@"; fi; }
# the workspace's own
version() { sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1; }
# A Redis or Valkey server with TLS, which the Valkey that tools/fetch gets is built without. Debian's redis-tools has the whole server, which
# is what its program for checking files is another name of; its redis-server would start one on the usual port.
tls_server() {
  local name server
  for name in valkey-server redis-server redis-check-rdb; do
    server=$(type -P "$name") && [[ $(ldd "$server" 2>/dev/null) == *libssl* ]] && echo "$server" && return
  done
  return 1
}
