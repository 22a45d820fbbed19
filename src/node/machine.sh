# Whether this host is a machine, or a container that shares its kernel with others.
machine_has_own_kernel() {
  ! systemd-detect-virt --quiet --container
}

# Whether its system clock is its own, and may be set (CAP_SYS_TIME).
machine_has_own_clock() {
  if ! machine_has_own_kernel; then return 1; fi
  machine_rights=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
  [ "$((0x$machine_rights >> 25 & 1))" = 1 ]
}

# Whether its kernel can be told to reset at once.
machine_has_sysrq() {
  machine_has_own_kernel && [ -w /proc/sysrq-trigger ]
}
