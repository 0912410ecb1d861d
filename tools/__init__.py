"""What maintainers run: releases."""
