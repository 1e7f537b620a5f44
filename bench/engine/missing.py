class Missing(Exception):
    """Something can't be measured on this machine; a sentence for people that says what is missing."""
