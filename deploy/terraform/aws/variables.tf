variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "name" {
  type    = string
  default = "feature-quality"
}

variable "cidr" {
  type    = string
  default = "10.40.0.0/16"
}

variable "certificate_arn" {
  type        = string
  description = "Certificate of the collector's name, in ACM"
}

variable "kubernetes_version" {
  type    = string
  default = "1.33"
}
