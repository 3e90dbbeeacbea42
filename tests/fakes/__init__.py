"""Doubles of libraries that this machine may lack, as strict as the originals."""
