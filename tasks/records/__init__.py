"""The records that stages hand each other: small, frozen, printable."""
