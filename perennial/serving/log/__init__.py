"""The prediction log: what the service was asked and answered, off the request path, on disk, then in the lake."""
