# A clock that is wrong: the host's where it has one of its own, else the broker's. $1: bump, drift or strobe,
# $2: by so many milliseconds, or how many times as fast, $3: milliseconds each way of a strobe, $4: the fault's
# key.
clock_whose() {
  if machine_has_own_clock; then echo host; else echo broker; fi
}

look() {
  "$(clock_whose)_clock_look"
}

inject() {
  "$(clock_whose)_clock_inject" "$@"
}

undo() {
  "$(clock_whose)_clock_undo" "$@"
}
