"""Processes that tests start: ranks that count, fail, hang or are killed, and whole stages to interrupt."""
