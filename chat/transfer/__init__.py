"""Chats as files: out, to be read or kept, and in, from here or from elsewhere."""
