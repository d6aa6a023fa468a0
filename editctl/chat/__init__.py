"""OpenAI's chat protocol as providers and servers speak it: what is sent, what comes back, batches."""
