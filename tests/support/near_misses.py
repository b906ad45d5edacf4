"""Texts that Kubernetes takes in one place and refuses in another."""

TEXTS = (
    *("a", "b1", "gpu", "x.y", "example.com/gpu", "nvidia.com/gpu.product", "topology.kubernetes.io/zone"),
    *("metadata.name", "team-a", "1", "42", "8Gi", "500m", "data/x", "/data", "train.jsonl", "A_b", "v" * 63),
    *("", "a..b", "a.-b", "a-", "-a", "a..b/c", "a/b/c", "/a", "A.b/c", "n" * 64, "d" * 254 + "/a", "0"),
    *(".", "..", "..a", ".a", "a b", "a:b", "é", "-1", "²", "requests.example.com/gpu", "kubernetes.io/gpu"),
    *("0.0000000001", "9" * 32, "9" * 30 + "Pi", "0.5", "1.5", "hugepages-2Mi/x", "a,b", "*"),
)
