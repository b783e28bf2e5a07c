"""Asks a server: the corpus, sessions, statistics and threads; by URL (and pid), never by import."""
