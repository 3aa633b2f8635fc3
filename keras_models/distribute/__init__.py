"""Steps on several replicas: exchange of tensors, and random numbers."""
