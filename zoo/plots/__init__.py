"""Pictures of models: how they learned, what their embeddings mean, who looks at whom, and what they expect."""
