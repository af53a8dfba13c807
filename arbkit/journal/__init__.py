"""The record of facts: intents before they are sent, what venues said, how trades ended."""
