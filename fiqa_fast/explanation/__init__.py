"""Pictures of what a score looks at: the map of `Scorer.explain` over the face."""
