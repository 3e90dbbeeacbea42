"""The torch side of edgesr: architectures, training recipes and exporters, run from a checkout."""
