# A host: how it is locked, what its volumes are, what its first boot does.

mock_provider "aws" {
  override_during = plan
  source          = "./tests/mocks"
}

variables {
  name                = "spillway-kafka-1"
  group               = "kafka"
  ami                 = "ami-0aaaaaaaaaaaaaaaa"
  instance_type       = "m7i.large"
  architecture        = "amd64"
  subnet_id           = "subnet-0aaaaaaaaaaaaaaaa"
  zone                = "eu-central-1a"
  private_ip          = "10.77.0.10"
  security_group_id   = "sg-0aaaaaaaaaaaaaaaa"
  instance_profile    = "spillway-kafka"
  key_name            = "spillway"
  kms_key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  root_gib            = 20
  agent_url           = "https://example.org/agent.deb"
  deletion_protection = true
  data                = { gib = 200, iops = 4000, throughput_mibps = 250, mount = "/var/lib/kafka" }
}

run "locked" {
  command = plan

  module {
    source = "./modules/host"
  }

  assert {
    condition     = aws_instance.host.metadata_options[0].http_tokens == "required" && aws_instance.host.metadata_options[0].http_endpoint == "enabled" && aws_instance.host.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "credentials of the instance must be given by IMDSv2 only, and not beyond the instance"
  }

  assert {
    condition     = aws_instance.host.associate_public_ip_address == false && aws_instance.host.private_ip == "10.77.0.10" && aws_instance.host.disable_api_termination
    error_message = "it must have the address it was given, none in public, and be hard to terminate"
  }

  assert {
    condition     = aws_instance.host.root_block_device[0].encrypted && aws_instance.host.root_block_device[0].kms_key_id == var.kms_key_arn && aws_instance.host.root_block_device[0].volume_type == "gp3" && aws_instance.host.ebs_optimized
    error_message = "the root volume must be gp3 and encrypted with our key"
  }

  assert {
    condition     = aws_instance.host.tags.Name == "spillway-kafka-1" && aws_instance.host.tags.Group == "kafka"
    error_message = "it must be found by name and group"
  }
}

run "the_data_volume" {
  command = plan

  module {
    source = "./modules/host"
  }

  assert {
    condition = [
      aws_ebs_volume.data[0].type, aws_ebs_volume.data[0].size, aws_ebs_volume.data[0].iops, aws_ebs_volume.data[0].throughput,
      aws_ebs_volume.data[0].encrypted, aws_ebs_volume.data[0].kms_key_id, aws_ebs_volume.data[0].availability_zone, aws_ebs_volume.data[0].final_snapshot,
    ] == ["gp3", 200, 4000, 250, true, var.kms_key_arn, "eu-central-1a", true]
    error_message = "the data volume must be as asked for, encrypted, and leave a snapshot behind"
  }

  assert {
    condition     = aws_volume_attachment.data[0].instance_id == aws_instance.host.id && aws_volume_attachment.data[0].volume_id == aws_ebs_volume.data[0].id && aws_volume_attachment.data[0].stop_instance_before_detaching
    error_message = "the volume must be attached, and the host stopped before it is taken away"
  }

  assert {
    condition     = yamldecode(output.user_data).write_files[0].path == "/etc/fstab" && yamldecode(output.user_data).write_files[0].append && yamldecode(output.user_data).write_files[0].content == "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0cccccccccccccccc /var/lib/kafka ext4 noatime,nofail,x-systemd.makefs,x-systemd.growfs,x-systemd.device-timeout=10min 0 2\n"
    error_message = "the volume must be mounted by its own id, and formatted only if it is empty"
  }

  assert {
    condition     = yamldecode(output.user_data).runcmd[1] == ["systemctl", "start", "--no-block", "var-lib-kafka.mount"]
    error_message = "the first boot must not wait for a volume that is attached after it"
  }
}

run "first_boot" {
  command = plan

  module {
    source = "./modules/host"
  }

  assert {
    condition     = strcontains(yamldecode(output.user_data).runcmd[2], "'https://example.org/agent.deb'") && strcontains(yamldecode(output.user_data).runcmd[2], "systemctl enable --now amazon-ssm-agent")
    error_message = "the agent of Session Manager must be brought from where it was said to be, and run"
  }

  assert {
    condition     = yamldecode(output.user_data).hostname == "spillway-kafka-1" && !can(yamldecode(output.user_data).preserve_hostname) && yamldecode(output.user_data).ssh_pwauth == false && yamldecode(output.user_data).disable_root
    error_message = "it must know its name, and take neither passwords nor root"
  }
}

run "without_a_data_volume" {
  command = plan

  module {
    source = "./modules/host"
  }

  variables {
    data                = null
    public_ip           = true
    deletion_protection = false
  }

  assert {
    condition     = length(aws_ebs_volume.data) + length(aws_volume_attachment.data) == 0 && output.volume_id == null
    error_message = "no volume was asked for"
  }

  assert {
    condition     = !can(yamldecode(output.user_data).write_files) && length(yamldecode(output.user_data).runcmd) == 1
    error_message = "there is nothing to mount"
  }

  assert {
    condition     = aws_instance.host.associate_public_ip_address && !aws_instance.host.disable_api_termination
    error_message = "a public address, and termination, must be possible when asked for"
  }
}

run "an_architecture_that_debian_does_not_name" {
  command = plan

  module {
    source = "./modules/host"
  }

  variables {
    architecture = "x86_64"
  }

  expect_failures = [var.architecture]
}
