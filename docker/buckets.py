"""Make the buckets named on the command line, each unless it is there. Address and keys are in the AWS_* variables."""

from __future__ import annotations

import sys

import boto3  # type: ignore[import-untyped]  # it ships no types


def main(names: list[str]) -> None:
    """Make what is missing."""
    client = boto3.client("s3")
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in names:
        if name not in there:
            client.create_bucket(Bucket=name)
        sys.stderr.write(f"bucket {name}: {'there' if name in there else 'made'}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
