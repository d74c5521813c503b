"""Built in: a calculator over `simpleeval`, with bounds so that no expression costs more than a moment.

simpleeval walks the syntax tree with our operators and names; there are no attributes, strings, subscripts or loops here.
Its own bound on powers still lets 4000000 ** 4000000 through, so powers, products and factorials are bounded by the size
of their result before they are computed.
"""

import ast
import math
from typing import Annotated, Any, Final

from pydantic import Field
from simpleeval import InvalidExpression, SimpleEval  # type: ignore[import-untyped]  # it has no types

from inference.tools.adapters.function_tool import FunctionTool
from inference.tools.domain.outcome import ToolFailedError

LONGEST: Final = 500
MOST_NODES: Final = 200
MOST_BITS: Final = 4096
DIGITS: Final = 15

Number = int | float

Expression = Annotated[
    str,
    Field(
        description="For example (3 + 4) * 2 ** 0.5, round(2 / 3, 2), sin(pi / 2), 17 % 5. Powers are written **.",
        max_length=LONGEST,
    ),
]


def calculator_tool() -> FunctionTool:
    """The tool `calculator`."""

    def calculator(expression: Expression) -> dict[str, Any]:
        return {"expression": expression, "result": calculate(expression)}

    return FunctionTool(
        calculator,
        name="calculator",
        description=(
            "Computes an arithmetic expression exactly. Use it for every calculation. "
            f"Functions: {', '.join(sorted(_FUNCTIONS))}. Constants: {', '.join(sorted(_NAMES))}."
        ),
        kind="builtin",
        timeout=5.0,
    )


def calculate(expression: str) -> Number | bool | str:
    """The value; integers are exact (as text beyond 2**53, which JSON readers would round), others have 15 digits.
    Raises ToolFailedError with a sentence for the model."""
    if len(expression) > LONGEST:
        raise ToolFailedError(f"The expression has {len(expression)} characters; at most {LONGEST} are computed.")
    evaluator = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names=_NAMES)
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
            raise ToolFailedError(f"The expression has more than {MOST_NODES} parts; compute it in several calls.")
        value = evaluator.eval(expression, previously_parsed=tree.body)
    except ZeroDivisionError as error:
        raise ToolFailedError("The expression divides by zero.") from error
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ToolFailedError("The expression is no arithmetic that can be read. Powers are written **.") from error
    except (InvalidExpression, ValueError, TypeError, ArithmeticError) as error:
        raise ToolFailedError(f"The expression cannot be computed: {_plain(error)}.") from error
    return _shown(value)


def _plain(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")[:200] if str(error) else type(error).__name__


def _shown(value: object) -> Number | bool | str:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ToolFailedError("The result is too large or not a number.")
        rounded = float(f"{value:.{DIGITS}g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 10**DIGITS else rounded
    raise ToolFailedError("The result is no number.")


def _number(value: object) -> Number:
    if isinstance(value, int | float):
        return value
    raise ToolFailedError("The calculator computes with real numbers only.")


def _bits(value: Number) -> int:
    return abs(value).bit_length() if isinstance(value, int) else 64


def _refuse_large(bits: float) -> None:
    if bits > MOST_BITS:
        raise ToolFailedError(f"The result would have more than {int(MOST_BITS * math.log10(2))} digits.")


def _add(left: object, right: object) -> Number:
    return _number(left) + _number(right)


def _subtract(left: object, right: object) -> Number:
    return _number(left) - _number(right)


def _multiply(left: object, right: object) -> Number:
    first, second = _number(left), _number(right)
    _refuse_large(_bits(first) + _bits(second))
    return first * second


def _power(left: object, right: object) -> Number:
    base, exponent = _number(left), _number(right)
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        _refuse_large(_bits(base) * abs(exponent))
    return _number(base**exponent)


def _power_of_two_arguments(base: object, exponent: object) -> Number:
    return _power(base, exponent)


def _factorial(value: object) -> int:
    number = _number(value)
    if not isinstance(number, int) or not 0 <= number <= 450:
        raise ToolFailedError("factorial takes a whole number from 0 to 450.")
    return math.factorial(number)


def _combinations(total: object, chosen: object) -> int:
    first, second = _number(total), _number(chosen)
    if not (isinstance(first, int) and isinstance(second, int) and 0 <= first <= 4000 and second >= 0):
        raise ToolFailedError("comb takes whole numbers from 0 to 4000.")
    return math.comb(first, second)


def _round(value: object, digits: object = 0) -> Number:
    places = _number(digits)
    if not isinstance(places, int) or abs(places) > DIGITS:
        raise ToolFailedError(f"round takes a whole number of digits from -{DIGITS} to {DIGITS}.")
    rounded = round(_number(value), places)
    return int(rounded) if places <= 0 and math.isfinite(rounded) else rounded


_OPERATORS: Final[dict[type[ast.AST], Any]] = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Pow: _power,
    ast.Div: lambda left, right: _number(left) / _number(right),
    ast.FloorDiv: lambda left, right: _number(left) // _number(right),
    ast.Mod: lambda left, right: _number(left) % _number(right),
    ast.USub: lambda value: -_number(value),
    ast.UAdd: _number,
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
    ast.Lt: lambda left, right: _number(left) < _number(right),
    ast.LtE: lambda left, right: _number(left) <= _number(right),
    ast.Gt: lambda left, right: _number(left) > _number(right),
    ast.GtE: lambda left, right: _number(left) >= _number(right),
}
_FUNCTIONS: Final[dict[str, Any]] = {
    **{
        name: getattr(math, name)
        for name in ("sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "atan2")
    },
    **{name: getattr(math, name) for name in ("sinh", "cosh", "tanh", "degrees", "radians", "hypot", "floor", "ceil")},
    "abs": abs,
    "min": min,
    "max": max,
    "pow": _power_of_two_arguments,
    "round": _round,
    "factorial": _factorial,
    "comb": _combinations,
}
_NAMES: Final = {"pi": math.pi, "e": math.e, "tau": math.tau}
