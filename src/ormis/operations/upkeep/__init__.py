"""Operations that check, rebuild and inspect what is stored."""
