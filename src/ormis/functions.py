"""Functions of fields and other expressions, under Django's names: `from ormis.functions import Lower, Round, Trunc`.

They stand wherever an expression does, those of windows in `Window(...)`. `Function` is the base for functions of your
own, `WindowFunction` for those of windows.
"""

from .query.functions.base import Function
from .query.functions.comparison import Cast, Coalesce, Greatest, Least, NullIf
from .query.functions.dates import (
    Extract,
    ExtractDay,
    ExtractHour,
    ExtractIsoWeekDay,
    ExtractIsoYear,
    ExtractMinute,
    ExtractMonth,
    ExtractQuarter,
    ExtractSecond,
    ExtractWeek,
    ExtractWeekDay,
    ExtractYear,
    Now,
    Trunc,
    TruncDate,
    TruncDay,
    TruncHour,
    TruncMinute,
    TruncMonth,
    TruncQuarter,
    TruncSecond,
    TruncTime,
    TruncWeek,
    TruncYear,
)
from .query.functions.numbers import (
    Abs,
    ACos,
    ASin,
    ATan,
    ATan2,
    Ceil,
    Cos,
    Cot,
    Degrees,
    Exp,
    Floor,
    Ln,
    Log,
    Mod,
    Pi,
    Power,
    Radians,
    Random,
    Round,
    Sign,
    Sin,
    Sqrt,
    Tan,
)
from .query.functions.texts import (
    MD5,
    SHA1,
    SHA224,
    SHA256,
    SHA384,
    SHA512,
    Chr,
    Concat,
    Left,
    Length,
    Lower,
    LPad,
    LTrim,
    Ord,
    Repeat,
    Replace,
    Reverse,
    Right,
    RPad,
    RTrim,
    StrIndex,
    Substr,
    Trim,
    Upper,
)
from .query.window_functions import (
    CumeDist,
    DenseRank,
    FirstValue,
    Lag,
    LastValue,
    Lead,
    NthValue,
    Ntile,
    PercentRank,
    Rank,
    RowNumber,
    WindowFunction,
)

__all__ = [  # noqa: RUF022 - in groups, as one learns them
    # your own
    "Function",
    # choosing and converting
    "Cast", "Coalesce", "Greatest", "Least", "NullIf",
    # texts
    "Chr", "Concat", "LPad", "LTrim", "Left", "Length", "Lower", "MD5", "Ord", "RPad", "RTrim", "Repeat", "Replace",
    "Reverse", "Right", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "StrIndex", "Substr", "Trim", "Upper",
    # numbers
    "ACos", "ASin", "ATan", "ATan2", "Abs", "Ceil", "Cos", "Cot", "Degrees", "Exp", "Floor", "Ln", "Log", "Mod", "Pi",
    "Power", "Radians", "Random", "Round", "Sign", "Sin", "Sqrt", "Tan",
    # dates and times
    "Extract", "ExtractDay", "ExtractHour", "ExtractIsoWeekDay", "ExtractIsoYear", "ExtractMinute", "ExtractMonth",
    "ExtractQuarter", "ExtractSecond", "ExtractWeek", "ExtractWeekDay", "ExtractYear", "Now", "Trunc", "TruncDate",
    "TruncDay", "TruncHour", "TruncMinute", "TruncMonth", "TruncQuarter", "TruncSecond", "TruncTime", "TruncWeek",
    "TruncYear",
    # windows
    "CumeDist", "DenseRank", "FirstValue", "Lag", "LastValue", "Lead", "NthValue", "Ntile", "PercentRank", "Rank",
    "RowNumber", "WindowFunction",
]  # fmt: skip
