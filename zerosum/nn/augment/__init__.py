"""Images varied while a network learns from them; settings load without torch."""
