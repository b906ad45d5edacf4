"""The validator's rules, a file per section of the spec. Each yields findings about one job."""
