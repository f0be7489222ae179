"""From logits to text: choosing the next token, again and again."""
