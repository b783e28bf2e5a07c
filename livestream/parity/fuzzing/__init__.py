"""Makes up what nobody recorded. Needs Hypothesis, the extra `fuzz`; nothing else imports it."""
