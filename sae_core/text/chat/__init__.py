"""Conversations as the tokens that a chat model was trained to read.

In: turns with their roles, and a model's folder with its chat template and tokenizer. Out: a
`Conversation`, token for token, which says of each token whose turn it belongs to and whether it is
content, template or a control token. Called by the worker's chat job and its OpenAI-compatible
endpoint, and by the page that shows a conversation. Loads no torch.
"""
