"""Operations that write."""
