# shellcheck shell=bash
# What the lab's other files stand on: its names, its places, its messages, its locks.
#
# A lab is known by its name alone. Everything it makes on the machine can be found
# again from that name, so `down` needs no record of what a killed `up` had reached.

lab_state_root=/var/lib/jtest-lab
lab_cache=/var/cache/jtest-lab
lab_machine_lock=$lab_state_root/.machine.lock
lab_nodes_min=3
lab_nodes_max=9
lab_suites=(bookworm bullseye trixie forky)

deadline_lock_s=900
deadline_build_s=1500
deadline_boot_s=180
deadline_kernel_boot_s=500
deadline_halt_s=20

say() { printf 'lab: %s\n' "$*" >&2; }

die() {
  printf 'lab: %s\n' "$*" >&2
  exit 1
}

# Sets every name that follows from the lab's own.
lab_use() {
  lab_name=$1
  [[ $lab_name =~ ^[a-z][a-z0-9-]{0,23}$ && ! $lab_name =~ (-n[0-9]+|-)$ ]] ||
    die "'$lab_name' is no name for a lab: at most 24 of a-z, 0-9 and '-', from a letter on, not ending in '-' or '-n1'"
  control=jtest-$lab_name
  state=$lab_state_root/$lab_name
  # Interface names hold 15 characters, a lab's name may be longer.
  uplink=jtu-$(printf %s "$lab_name" | sha256sum | cut -c1-8)
}

host_ns() { printf '%s-n%d' "$control" "$1"; }
host_dir() { printf '%s/n%d' "$state" "$1"; }
host_address() { printf '10.77.0.%d' $((10 + $1)); }
host_address6() { printf 'fd77::%d' $((10 + $1)); }
host_hardware_address() { printf '02:6a:74:00:00:%02x' $((10 + $1)); }

# The file holds a lab's suite, number of nodes, root file system and kind of hosts while it is up.
lab_recorded() {
  local key value
  [ -r "$state/lab" ] || return 1
  recorded_kind=container
  while IFS='=' read -r key value; do
    case $key in
      suite) recorded_suite=$value ;;
      nodes) recorded_nodes=$value ;;
      rootfs) recorded_rootfs=$value ;;
      kind) recorded_kind=$value ;;
    esac
  done <"$state/lab"
  [ -n "${recorded_suite-}" ] && [ -n "${recorded_nodes-}" ] && [ -n "${recorded_rootfs-}" ]
}

# Holds a lock until this shell and the children that inherited it are gone.
# Usage: lock FILE VARIABLE; the variable gets the descriptor.
lock() {
  local -n descriptor=$2
  mkdir -p "${1%/*}"
  exec {descriptor}>>"$1"
  flock --nonblock "$descriptor" && return
  say "waiting for $1, held by another command"
  flock --timeout "$deadline_lock_s" "$descriptor" ||
    die "$1 is still held after ${deadline_lock_s} s; 'fuser -v $1' tells by whom"
}

unlock() {
  local -n descriptor=$1
  exec {descriptor}>&-
}

# Usage: wait_until SECONDS COMMAND...; true as soon as the command is.
wait_until() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}

need_root() {
  ((EUID == 0)) || die "hosts are made of namespaces and mounts, which takes root: sudo $0 ${lab_command-}"
}

need_outside() {
  local here
  here=$(ip netns identify $$)
  [[ $here != jtest-* ]] || die "this shell is inside the namespace $here; run it from outside the lab"
}

# Usage: need_tools TOOL:PACKAGE...; reports all that are missing at once.
need_tools() {
  local pair missing=() packages=()
  for pair; do
    command -v "${pair%%:*}" >/dev/null && continue
    missing+=("${pair%%:*}")
    packages+=("${pair##*:}")
  done
  ((${#missing[@]} == 0)) ||
    die "missing: ${missing[*]}; get them with: apt-get install -y $(printf '%s\n' "${packages[@]}" | sort -u | tr '\n' ' ')"
}

need_namespaces() {
  unshare --mount --net true 2>/dev/null ||
    die "this environment may not make namespaces; use a machine of its own or a container started with --privileged"
}
