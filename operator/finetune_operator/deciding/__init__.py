"""What happens next to a job, decided: pure functions, without a client, a clock or chance."""
