"""From stored results to tables: terminal, LaTeX, Markdown, CSV."""
