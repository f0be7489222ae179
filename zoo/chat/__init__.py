"""All that only a chat model needs: the chat template, synthetic conversations, batches with a loss mask, and the session."""
