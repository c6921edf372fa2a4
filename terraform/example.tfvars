# An installation in Frankfurt; terraform plan -var-file=example.tfvars. All variables are in README.md.

name           = "spillway-eu"
region         = "eu-central-1"
ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA put your own key here"

# The first three zones, whatever else the region gets.
availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]

# The stream does not pass the NAT gateway; nobody can connect to the edge all the same.
edge = { spool_gib = 100, public_ip = true }

# A week of 5 MB a second, and room to spare.
broker = { data_gib = 4000, data_throughput_mibps = 250 }

# Those of spillway-consumer.toml; the last one is a preset there.
tables = {
  activity          = {}
  city_activity     = { group_by = "place" }
  happiest_hashtags = { group_by = "tag", metrics = ["smiles"] }
}

archives = {
  company_archive = { columns = ["id", "created_at", "text", "word_count"], partition_column = "company" }
}

alarm_emails = ["operators@example.org"]
