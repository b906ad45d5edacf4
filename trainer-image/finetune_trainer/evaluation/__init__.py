"""What is measured while training and after it: sums of the evaluation loop, sample answers, benchmarks."""
