"""What was decided, done: workers that take a job, decide, write what the plan says, and write the status."""
