"""What tests and benchmarks of steering are made of: small maps, and a server of one's own."""
