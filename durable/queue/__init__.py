"""A transactional outbox and a ledger: nothing is lost, no effect is written twice."""
