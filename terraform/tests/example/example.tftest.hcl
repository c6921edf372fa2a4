# example.tfvars can be planned: check.sh gives it to this test.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

run "example" {
  command = plan

  assert {
    condition     = output.store_url == "s3://spillway-eu-111122223333-eu-central-1" && module.host["edge-1"].private_ip == "10.77.240.10" && length(aws_glue_catalog_table.main) == 10
    error_message = "the example must be what it says"
  }
}
