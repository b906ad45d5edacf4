"""What is known of the cluster: what the watches tell, kept in memory, and what is looked up when needed."""
