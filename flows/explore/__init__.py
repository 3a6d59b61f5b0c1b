"""Pages over what a store holds, for those who would rather look: served to this machine alone, or a static copy."""
