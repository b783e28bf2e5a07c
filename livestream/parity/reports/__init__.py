"""What a comparison tells, in all its forms.

- `terminal`, `html`, `junit`, `data`: one for each reader.
- `headline`: what comes first. `marking`: two sides beside each other. `sent`: what a case sends, in words.
"""
