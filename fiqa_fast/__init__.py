"""fiqa_fast: face image quality assessment, fast and exact."""
