"""Pictures of models: how they learned, what their embeddings mean, attention weights, and what they expect."""
