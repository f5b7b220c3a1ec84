"""Operations that check, rebuild and inspect a database."""
