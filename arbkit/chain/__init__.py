"""Polygon: nodes over JSON-RPC, gas, nonces, transactions and their batches."""
