output "inventory" {
  description = "inventory/cloud.yaml; the control node has it already, as cloud.yaml in the home directory of jtest"
  value       = local.inventory
}

output "control" {
  description = "Where the control node is: ssh jtest@..."
  value       = hcloud_server.control.ipv4_address
}

output "known_hosts" {
  description = "The control node's line for ~/.ssh/known_hosts"
  value       = "${hcloud_server.control.ipv4_address} ${trimspace(tls_private_key.host["control"].public_key_openssh)}\n"
}
