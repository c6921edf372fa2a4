# A host: an instance of Debian that is reached through Session Manager only, and a data volume that outlives it.

locals {
  has_data = var.data != null

  # As systemd names the unit of a mount point.
  mount_unit = local.has_data ? "${replace(trimprefix(var.data.mount, "/"), "/", "-")}.mount" : ""

  # Nitro instances number their disks as they come; the volume's id is always the same.
  device = local.has_data ? "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${replace(aws_ebs_volume.data[0].id, "-", "")}" : ""

  user_data = templatefile("${path.module}/user_data.yaml.tftpl", {
    hostname   = var.name
    agent_url  = var.agent_url
    device     = local.device
    mount      = local.has_data ? var.data.mount : ""
    mount_unit = local.mount_unit
  })
}

resource "aws_instance" "host" {
  #checkov:skip=CKV_AWS_126:Metrics every five minutes are enough for its alarms; the node exporter measures more, and more often.
  ami                         = var.ami
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  private_ip                  = var.private_ip
  associate_public_ip_address = var.public_ip
  vpc_security_group_ids      = [var.security_group_id]
  iam_instance_profile        = var.instance_profile
  key_name                    = var.key_name
  ebs_optimized               = true
  monitoring                  = false
  disable_api_termination     = var.deletion_protection
  user_data                   = local.user_data

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "disabled"
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = var.root_gib
    encrypted             = true
    kms_key_id            = var.kms_key_arn
    delete_on_termination = true

    tags = { Name = "${var.name}-root" }
  }

  tags = { Name = var.name, Group = var.group }

  lifecycle {
    # A newer image of Debian, or another first boot, must not replace a broker. Ansible brings updates;
    # terraform apply -replace=... makes a host anew.
    ignore_changes = [ami, user_data]
  }
}

resource "aws_ebs_volume" "data" {
  count = local.has_data ? 1 : 0

  availability_zone = var.zone
  type              = "gp3"
  size              = var.data.gib
  iops              = var.data.iops
  throughput        = var.data.throughput_mibps
  encrypted         = true
  kms_key_id        = var.kms_key_arn
  # Whoever destroys it by mistake can come back to the snapshot.
  final_snapshot = true

  tags = { Name = "${var.name}-data" }
}

resource "aws_volume_attachment" "data" {
  count = local.has_data ? 1 : 0

  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data[0].id
  instance_id = aws_instance.host.id
  # The file system is unmounted in order before another instance gets the volume.
  stop_instance_before_detaching = true
}
