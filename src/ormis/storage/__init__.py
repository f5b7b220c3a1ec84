"""How values, keys and scripts are spelled."""
