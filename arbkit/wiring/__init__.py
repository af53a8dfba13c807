"""The only place that builds real adapters, from settings that a person wrote: paper, demo and live."""
