"""Operations: generators that yield calls and are sent replies; one module per verb."""
