"""What a face costs here, beside what the papers' official scripts cost and what the machine could.

Only `fiqa-fast benchmark` imports this package; it imports scorers, and nothing else does it back.
"""
