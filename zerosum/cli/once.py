"""Commands that refuse repeated options."""

from typing import Any

from typer.core import TyperCommand

from zerosum.utils.errors import ConfigError


class Once(TyperCommand):
    """A command that refuses an option given twice; click would silently use the last value. Flags and options that
    take several values may be repeated."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises ConfigError naming the repeated option."""
        if not ctx.resilient_parsing and (args or not self.no_args_is_help):
            _, _, given = self.make_parser(ctx).parse_args(args=list(args))
            seen: set[str] = set()
            for parameter in given:
                if parameter.param_type_name != "option" or getattr(parameter, "is_flag", False) or parameter.multiple:
                    continue
                if str(parameter.name) in seen:
                    raise ConfigError(f"{max(parameter.opts, key=len)} is given twice; give it once.")
                seen.add(str(parameter.name))
        return super().parse_args(ctx, args)
