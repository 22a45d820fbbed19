variable "operator_key" {
  description = "The public SSH key that may log in to the control node, as in ~/.ssh/id_ed25519.pub"
  type        = string
}

variable "operator_networks" {
  description = "From where it may, such as [\"203.0.113.7/32\"]"
  type        = list(string)
  validation {
    condition     = length(var.operator_networks) > 0
    error_message = "Without a network nobody could reach the control node."
  }
}

variable "nodes" {
  description = "How many nodes there are"
  type        = number
  default     = 5
  validation {
    condition     = var.nodes >= 3 && var.nodes <= 9
    error_message = "A cluster has 3 to 9 nodes here."
  }
}

variable "prefix" {
  description = "What the names of all that is made begin with"
  type        = string
  default     = "jtest"
}

variable "location" {
  description = "Where the machines are"
  type        = string
  default     = "nbg1"
}

variable "network_zone" {
  description = "The network zone of that place"
  type        = string
  default     = "eu-central"
}

variable "server_type" {
  description = "The type of each machine"
  type        = string
  default     = "cx23"
}

variable "network" {
  description = "The private network of the machines"
  type        = string
  default     = "10.80.0.0/24"
}
