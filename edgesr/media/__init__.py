"""Sources and sinks of live pictures and video under one scheme of addresses."""
