# shellcheck shell=bash
# A lab's inventory; `inventory/local.yaml` is that of the default lab.

inventory() {
  local n option=''
  [ "$lab_name" = lab ] || option=" --name $lab_name"
  cat <<YAML
# The hosts of \`scripts/lab$option up\`, which live in network namespaces of this machine:
# jtest, run as root, enters the one named at the end to reach them.
all:
  hosts:
YAML
  for ((n = 1; n <= nodes; n++)); do
    printf '    n%d:\n      ansible_host: %s\n' "$n" "$(host_address "$n")"
  done
  cat <<YAML
  vars:
    ansible_user: jtest
    ansible_become: true
    ansible_ssh_private_key_file: $state/id_ed25519
    ansible_ssh_common_args: "-o UserKnownHostsFile=$state/known_hosts -o StrictHostKeyChecking=yes"
    jtest_disposable: true
    jtest_control_netns: $control
YAML
}
