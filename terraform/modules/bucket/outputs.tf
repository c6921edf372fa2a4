# The bucket, once it is there.

output "id" {
  description = "Its name, known when it has been made."
  value       = aws_s3_bucket.this.id
}
