"""From scores to text: choosing the next token, again and again."""
