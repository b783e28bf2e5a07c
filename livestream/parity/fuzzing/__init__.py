"""Makes up what nobody recorded. Needs Hypothesis, the extra `fuzz`; nothing else imports it.

- `strategies`: what is sent. `fuzz`: plays it to two servers, and shrinks what they disagree about.
"""
