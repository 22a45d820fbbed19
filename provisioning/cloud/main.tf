# Small Debian 12 machines n1 to n5 at Hetzner Cloud, and a control node on which jtest runs; see README.md.

terraform {
  required_version = ">= 1.8.0"
  required_providers {
    hcloud = {
      source = "hetznercloud/hcloud"
      # Servers are attached to a subnet, not to a network, from 1.63 on.
      version = "~> 1.63"
    }
    tls = {
      source  = "hashicorp/tls"
      version = "~> 4.0"
    }
  }
}

# Its token comes from HCLOUD_TOKEN.
provider "hcloud" {}

locals {
  control = cidrhost(var.network, 2)
  nodes   = { for number in range(1, var.nodes + 1) : "n${number}" => cidrhost(var.network, 10 + number) }

  inventory = templatefile("${path.module}/inventory.yaml.tftpl", { nodes = local.nodes })
  known_hosts = join("", [
    for name, address in local.nodes : "${address} ${trimspace(tls_private_key.host[name].public_key_openssh)}\n"
  ])
}

# The control node's login on the nodes, and the machines' own keys: known before the first login. They
# are in the state, too, and live as long as the machines.
resource "tls_private_key" "login" {
  algorithm = "ED25519"
}

resource "tls_private_key" "host" {
  for_each  = merge(local.nodes, { control = local.control })
  algorithm = "ED25519"
}

resource "hcloud_ssh_key" "operator" {
  name       = "${var.prefix}-operator"
  public_key = var.operator_key
}

resource "hcloud_network" "lab" {
  name     = var.prefix
  ip_range = var.network
}

resource "hcloud_network_subnet" "lab" {
  network_id   = hcloud_network.lab.id
  type         = "cloud"
  network_zone = var.network_zone
  ip_range     = var.network
}

# Without a rule nothing comes in from outside. The private network has no firewall: there the nodes
# themselves let in the control node alone, see node.yaml.tftpl.
resource "hcloud_firewall" "nodes" {
  name = "${var.prefix}-nodes"
}

resource "hcloud_firewall" "control" {
  name = "${var.prefix}-control"
  rule {
    direction  = "in"
    protocol   = "tcp"
    port       = "22"
    source_ips = var.operator_networks
  }
}

# Nodes that share a machine would fail together.
resource "hcloud_placement_group" "nodes" {
  name = "${var.prefix}-nodes"
  type = "spread"
}

resource "hcloud_server" "node" {
  for_each           = local.nodes
  name               = "${var.prefix}-${each.key}"
  server_type        = var.server_type
  image              = "debian-12"
  location           = var.location
  placement_group_id = hcloud_placement_group.nodes.id
  firewall_ids       = [hcloud_firewall.nodes.id]
  # Without a key a password for root is made and sent by mail. root cannot log in with it, either.
  ssh_keys = [hcloud_ssh_key.operator.id]
  user_data = templatefile("${path.module}/node.yaml.tftpl", {
    name             = each.key
    control          = local.control
    login_key        = trimspace(tls_private_key.login.public_key_openssh)
    host_key_private = tls_private_key.host[each.key].private_key_openssh
    host_key_public  = trimspace(tls_private_key.host[each.key].public_key_openssh)
  })

  # To fetch packages.
  public_net {
    ipv4_enabled = true
    ipv6_enabled = false
  }
  network {
    subnet_id = hcloud_network_subnet.lab.id
    ip        = each.value
    alias_ips = []
  }
}

resource "hcloud_server" "control" {
  name         = "${var.prefix}-control"
  server_type  = var.server_type
  image        = "debian-12"
  location     = var.location
  firewall_ids = [hcloud_firewall.control.id]
  ssh_keys     = [hcloud_ssh_key.operator.id]
  user_data = templatefile("${path.module}/control.yaml.tftpl", {
    operator_key     = trimspace(var.operator_key)
    host_key_private = tls_private_key.host["control"].private_key_openssh
    host_key_public  = trimspace(tls_private_key.host["control"].public_key_openssh)
    login_key        = tls_private_key.login.private_key_openssh
    known_hosts      = local.known_hosts
    inventory        = local.inventory
  })

  public_net {
    ipv4_enabled = true
    ipv6_enabled = false
  }
  network {
    subnet_id = hcloud_network_subnet.lab.id
    ip        = local.control
    alias_ips = []
  }
}
