terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
  # The bucket and the table are made once, by state/.
  backend "s3" {
    key            = "feature-quality/terraform.tfstate"
    dynamodb_table = "feature-quality-terraform-lock"
    encrypt        = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = "feature-quality" }
  }
}
