"""The venues' messages as typed structs: importers and adapters read the same ones."""
