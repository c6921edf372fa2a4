# What this configuration needs, and how AWS is reached. Where the state is kept is the operator's choice:
# README.md has a backend to copy.

terraform {
  # 1.9 for validations that look at several variables; 1.11 for what the tests use.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.25"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = merge(var.tags, { Project = var.name, ManagedBy = "terraform" })
  }
}
