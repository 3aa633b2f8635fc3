"""What a step on several replicas needs: their tensors and their random numbers."""
