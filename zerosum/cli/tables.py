"""Tables of words on stdout."""


def print_table(lines: list[list[str]]) -> None:
    """Print rows of cells in columns: the first to the left, the others to the right."""
    wide = [max(len(line[i]) for line in lines if i < len(line)) for i in range(max(map(len, lines)))]
    for line in lines:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, wide, strict=False))
        ]
        print("  ".join(cells).rstrip())
