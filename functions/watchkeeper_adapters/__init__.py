"""Sockets that belong to no cloud: language models that speak OpenAI's protocol, and receivers of alerts."""
