"""Operations that read."""
