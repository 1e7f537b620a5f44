"""`manage.py up`: the whole stack by one command."""
